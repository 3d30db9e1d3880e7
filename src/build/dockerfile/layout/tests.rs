//! Dockerfiles as people write them, and as they must not be.

use super::*;

const NONE: BTreeMap<String, String> = BTreeMap::new();

fn read(text: &str) -> Result<Layout, String> {
    let args = [("GIVEN".to_owned(), "given:1".to_owned())].into();
    Layout::read("Dockerfile", text, HereDocuments::Unknown, &args).map_err(|error| error.to_string())
}

fn images(text: &str) -> Vec<String> {
    read(text).unwrap().images().iter().map(ToString::to_string).collect()
}

fn written(text: &str, ca_image: Option<&str>) -> String {
    let layout = read(text).unwrap();
    let names = layout.images().into_iter().map(|image| (image.clone(), format!("pinned-{image}"))).collect();
    layout.write(&Additions { names: &names, salt: "salt", ca_image, frontend: None, is_inside: false })
}

const HEAD: &str = "FROM scratch AS salt\nWORKDIR /salt\n";
const SALT: &str = "COPY --from=salt /salt/ /\n";

#[test]
fn all_images_that_it_draws_on_are_found_and_replaced() {
    let text = "ARG V=3 W\nARG X=img\nFROM --platform=$BUILDPLATFORM ${X}:$V AS Build\nRUN --mount=type=bind,From=tools,target=/t \\\n \
                # nothing\n  make\nFROM build\nCOPY --chown=1 --from=other/img@sha256:abababababababababababababababababababababababababababababababab /a /b\n\
                COPY --from=0 /x /y\nCOPY --from=BUILD /x /y\nfrom docker.io/library/last as z\n";
    assert_eq!(images(text).len(), 4);
    let text = written(text, None);
    let digest = "ab".repeat(32);
    assert_eq!(
        text,
        format!(
            "ARG V=3 W\nARG X=img\n{HEAD}FROM --platform=$BUILDPLATFORM pinned-img:3 AS Build\n{SALT}\
             RUN --mount=type=bind,From=pinned-tools,target=/t make\nFROM build \n\
             COPY --chown=1 --from=pinned-other/img@sha256:{digest} /a /b\nCOPY --from=build /x /y\n\
             COPY --from=build /x /y\nFROM pinned-last as z\n{SALT}"
        )
    );
}

#[test]
fn stages_without_a_name_keep_their_numbers() {
    let text = written("FROM a\nFROM b\nCOPY --from=0 /x /\nCOPY --from=scratch / /\n", None);
    assert!(text.ends_with("COPY --from=1 /x /\nCOPY --from=scratch / /\n"), "{text}");
}

#[test]
fn arguments_count_where_the_engine_counts_them() {
    assert_eq!(images("ARG GIVEN=x\nFROM $GIVEN"), ["given:1"]);
    assert_eq!(images("ARG A=b\nARG C=${A}:1\nFROM ${C}"), ["b:1"]);
    assert_eq!(images("FROM ${NONE:-fallback}"), ["fallback"]);
}

#[test]
fn here_documents_are_text_to_every_engine() {
    let text = "FROM a\nRUN --network=none <<EOF\nFROM victim\nEOF\n";
    assert_eq!(images(text), ["a"]);
    let additions =
        Additions { names: &BTreeMap::new(), salt: "salt", ca_image: None, frontend: None, is_inside: false };
    let written = |here, text| Layout::read("Dockerfile", text, here, &NONE).unwrap().write(&additions);
    let known = format!("{HEAD}FROM a \n{SALT}RUN --network=none <<EOF\nFROM victim\nEOF\n");
    assert_eq!(written(HereDocuments::Known, text), known);
    let unknown = format!("{HEAD}FROM a \n{SALT}RUN --network=none [\"/bin/sh\",\"-c\",\"FROM victim\\n\"]\n");
    assert_eq!(written(HereDocuments::Unknown, text), unknown);
    let shells = "FROM a AS b\nSHELL [\"/bin/bash\", \"-c\"]\nFROM b\nRUN cat <<E\nx\nE\n";
    assert!(written(HereDocuments::Unknown, shells).ends_with("RUN [\"/bin/bash\",\"-c\",\"cat <<E\\nx\\nE\\n\"]\n"));
    for (text, expect) in [
        ("FROM a\nCOPY <<EOF /x\ntext\nEOF\n", "Dockerfile, line 2: this server's container engine"),
        ("FROM a\nRUN <<EOF\n#!/usr/bin/python3\nEOF\n", "begins with '#!'"),
    ] {
        let refused = read(text).map(|layout| format!("{layout:?}")).expect_err(text);
        assert!(refused.contains(expect), "{refused}");
    }
}

#[test]
fn what_cannot_be_told_is_refused() {
    for text in [
        "RUN x",
        "FROM ${A%x}",
        "FROM",
        "FROM UPPER/case",
        "FROM sha256:abababababababababababababababababababababababababababababababab",
        "FROM a\nCOPY --from=0 /x /y",
        "FROM a\nCOPY --from=$X /x /y",
        "FROM a\nCOPY --from='b' /x /y",
        "FROM a\nCOPY --chown=à--from=b /x /y",
        "FROM a\nCOPY --from=later /x /y\nFROM b AS later",
        "FROM a\nRUN --mount=\"type=bind,from=b\" x",
        "FROM a\nONBUILD COPY --from=b /x /y",
        "FROM a\nONBUILD RUN --mount=type=bind,from=b x",
        "FROM a\nONBUILD ADD http://127.0.0.1/ /x",
        "FROM a\nADD http://127.0.0.1:8000/ /x",
        "FROM a\nADD [\"HTTPS://x\", \"/x\"]",
        "FROM a\nADD ${URL} /x",
        "FROM a\nADD h$X /x",
        "FROM a\nADD --chown=1 git@github.com:a/b /x",
        "{\"syntax\": \"evil\"}\nFROM a",
        "FROM a\nRUN x \\\\",
    ] {
        let refused = read(text).map(|layout| format!("{layout:?}")).expect_err(text);
        assert!(refused.starts_with("Dockerfile"), "{refused}");
    }
    for text in
        ["FROM a\nADD app-$V.tar.gz /x", "FROM a\nADD x ${HOME}/", "FROM a AS b\nFROM b\nONBUILD COPY --from=b / /"]
    {
        read(text).unwrap();
    }
}

#[test]
fn every_stage_that_runs_something_gets_the_bundle_once() {
    let bundle = |text: &str| {
        let text = written(text, Some("ca:1"));
        (text.matches("COPY --from=ca:1").count(), text.matches("ARG PIP_CERT=").count())
    };
    assert_eq!(bundle("FROM a\nRUN x\n"), (1, 1));
    assert_eq!(bundle("FROM a\nCOPY . .\n"), (0, 0));
    assert_eq!(bundle("FROM a\nRUN x\nFROM c\nRUN y"), (2, 2));
    assert_eq!(bundle("FROM a AS Base\nRUN x\nFROM base\nRUN y\n"), (1, 2));
    assert_eq!(bundle("FROM a AS b\nFROM b\nRUN y\n"), (1, 1));
    assert_eq!(bundle("FROM a AS b\nRUN x\nFROM b AS c\nFROM --platform=$P c\nRUN y\n"), (1, 2));
    assert_eq!(bundle("FROM scratch\nADD root.tar /\nRUN x\n"), (1, 1));
}

#[test]
fn a_backtick_stays_the_escape() {
    let text = written("# escape=`\nFROM a\nRUN dir `\n  c:\\\n", None);
    assert!(text.starts_with("# escape=`\n") && text.ends_with("RUN dir   c:\\\n"), "{text}");
}
