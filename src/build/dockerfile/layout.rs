//! A Dockerfile as it is given to the engine: read once, checked, and written again in a form that can be read in one way only.
//!
//! The engine's parser and this one need not agree on every corner of the grammar. So the engine never gets a tenant's text:
//! it gets each instruction on a line of its own, without comments, directives and continuation lines, and the images that
//! it names replaced by names that were given to what was checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::BuildError;
use super::super::ca;
use super::super::instructions::{HereDocuments, Instruction, escape_character, instructions, raw_words, unquoted};
use super::expand::expand;
use super::flags::Flags;
use super::inside;
use super::script::Shell;
use crate::model::{Frontend, ImageReference};

/// Where files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The empty image.
    Scratch,
    /// An earlier stage of this Dockerfile, counted from 0.
    Stage(usize),
    /// Anything else.
    Image(ImageReference),
}

/// An instruction and what it draws on.
#[derive(Debug)]
struct Step {
    instruction: Instruction,
    flags: Vec<String>,
    rest: String,
    /// The base of a `FROM`.
    base: Option<Origin>,
    /// Flags that name an origin, by their place among the flags.
    origins: BTreeMap<usize, Origin>,
}

#[derive(Debug)]
struct Stage {
    name: Option<String>,
    runs: bool,
    base: Origin,
}

/// A Dockerfile that was read and checked.
#[derive(Debug)]
pub(super) struct Layout {
    escape: char,
    steps: Vec<Step>,
    stages: Vec<Stage>,
    lines: Vec<String>,
    here: HereDocuments,
}

/// What goes into a Dockerfile beside what its author wrote.
pub(super) struct Additions<'a> {
    /// Names given to the images that it draws on.
    pub names: &'a BTreeMap<ImageReference, String>,
    /// A name that no other app's builds have, lower case, usable as one of a stage and of a folder.
    pub salt: &'a str,
    /// The image to copy the CA bundle from.
    pub ca_image: Option<&'a str>,
    /// The frontend that the operator trusts with it.
    pub frontend: Option<&'a Frontend>,
    /// Whether the build's files lie in a folder of their own, see [`inside`].
    pub is_inside: bool,
}

impl Layout {
    /// Reads a Dockerfile for an engine that knows here-documents or does not. `args` are the build arguments that it gets.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the line and says what to write instead.
    pub fn read(
        path: &str,
        text: &str,
        here: HereDocuments,
        args: &BTreeMap<String, String>,
    ) -> Result<Self, BuildError> {
        let escape = escape_character(text);
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let (steps, stages) = Default::default();
        let mut reader = Reader { path, escape, args, variables: platform(), steps, stages, lines: &lines, here };
        let instructions = instructions(text);
        let names = instructions.iter().filter(|i| i.keyword == "from").map(|from| stage_name(from, escape));
        let names: Vec<_> = names.collect();
        for instruction in instructions {
            reader.take(instruction, &names)?;
        }
        if reader.stages.is_empty() {
            return Err(BuildError::Refused(format!(
                "{path} has no FROM, so there is nothing to build on: add one, commit and push again."
            )));
        }
        let (steps, stages) = (reader.steps, reader.stages);
        Ok(Self { escape, steps, stages, lines, here })
    }

    /// The images that it draws on.
    pub fn images(&self) -> BTreeSet<&ImageReference> {
        let origins = self.steps.iter().flat_map(|step| step.base.iter().chain(step.origins.values()));
        origins.filter_map(|origin| if let Origin::Image(image) = origin { Some(image) } else { None }).collect()
    }

    /// How many stages its author wrote.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The text for the engine.
    ///
    /// First of all a stage named after the salt, with an empty folder of that name. Each stage that stands on no other
    /// begins by copying what is in it, nothing: that adds no file, and makes the stage's place in the engine's cache one
    /// of this salt alone, as a step is found there by its own text and all that it stands on.
    pub fn write(&self, additions: &Additions<'_>) -> String {
        let mut text = String::new();
        if let Some(frontend) = additions.frontend {
            _ = writeln!(text, "# syntax={frontend}");
        }
        if self.escape != '\\' {
            _ = writeln!(text, "# escape={}", self.escape);
        }
        let (mut stage, mut shells) = (0, Vec::new());
        for step in &self.steps {
            let from = step.base.as_ref().map(|base| (base, stage));
            if from == Some((&self.stages[0].base, 0)) {
                _ = writeln!(text, "FROM scratch AS {salt}\nWORKDIR /{salt}", salt = additions.salt);
            }
            match (&step.base, step.instruction.keyword.as_str()) {
                (Some(Origin::Stage(number)), _) => shells.push(shells.get(*number).cloned().unwrap_or_default()),
                (Some(_), _) => shells.push(Shell::default()),
                (None, "shell") => {
                    if let Some(shell) = shells.last_mut() {
                        shell.change(&step.rest);
                    }
                }
                (None, _) => {}
            }
            self.write_step(&mut text, step, additions, shells.last());
            if let Some((base, number)) = from {
                if !matches!(base, Origin::Stage(_)) {
                    _ = writeln!(text, "COPY --from={salt} /{salt}/ /", salt = additions.salt);
                }
                if let (Some(image), true) = (additions.ca_image, self.stages[number].runs) {
                    text.push_str(&ca::block(image, self.has_bundle(base)));
                }
                stage += 1;
            }
        }
        text
    }

    /// Whether a stage on this base has the CA bundle already.
    fn has_bundle(&self, base: &Origin) -> bool {
        match base {
            Origin::Stage(number) => self.stages[*number].runs || self.has_bundle(&self.stages[*number].base),
            Origin::Scratch | Origin::Image(_) => false,
        }
    }

    fn write_step(&self, text: &mut String, step: &Step, additions: &Additions<'_>, shell: Option<&Shell>) {
        let names = additions.names;
        text.push_str(&step.instruction.keyword.to_ascii_uppercase());
        for (number, flag) in step.flags.iter().enumerate() {
            let flag = match step.origins.get(&number) {
                None if additions.is_inside => inside::mount_inside(flag),
                None => flag.clone(),
                Some(origin) => with_origin(flag, &self.written(origin, names)),
            };
            _ = write!(text, " {flag}");
        }
        if let Some(base) = &step.base {
            let base = match base {
                // By name: BuildKit knows no numbers here.
                Origin::Stage(number) => self.stages[*number].name.clone().unwrap_or_default(),
                other => self.written(other, names),
            };
            _ = write!(text, " {base}");
        }
        let documents = &self.lines[step.instruction.documents.clone()];
        if let (HereDocuments::Unknown, Some(shell), false) = (self.here, shell, documents.is_empty()) {
            let line = Flags::of(&step.rest).rest;
            let flags = &step.rest[..step.rest.len() - line.len()];
            _ = writeln!(text, " {flags}{}", shell.exec(line, documents, self.escape));
            return;
        }
        match step.instruction.keyword.as_str() {
            "copy" | "add" if additions.is_inside && step.origins.is_empty() => {
                _ = writeln!(text, " {}", inside::sources_inside(&step.rest, self.escape));
            }
            _ => _ = writeln!(text, " {}", step.rest),
        }
        for line in documents {
            _ = writeln!(text, "{line}");
        }
    }

    fn written(&self, origin: &Origin, names: &BTreeMap<ImageReference, String>) -> String {
        match origin {
            Origin::Scratch => "scratch".to_owned(),
            Origin::Stage(number) => match &self.stages[*number].name {
                Some(name) => name.clone(),
                // One stage was put before all of them.
                None => (number + 1).to_string(),
            },
            Origin::Image(image) => names.get(image).cloned().unwrap_or_else(|| image.to_string()),
        }
    }
}

/// The flag `--from=x` or `--mount=type=bind,from=x,...` with another origin.
fn with_origin(flag: &str, origin: &str) -> String {
    if flag.starts_with("--from=") {
        return format!("--from={origin}");
    }
    let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
    let fields = value.split(',').map(|field| match field.split_once('=') {
        Some((key, _)) if key.eq_ignore_ascii_case("from") => format!("{key}={origin}"),
        _ => field.to_owned(),
    });
    format!("{name}={}", fields.collect::<Vec<_>>().join(","))
}

/// What BuildKit tells of the platform before the first stage.
fn platform() -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut variables = BTreeMap::new();
    for whose in ["TARGET", "BUILD"] {
        for (name, value) in [("OS", "linux"), ("ARCH", arch), ("VARIANT", "")] {
            variables.insert(format!("{whose}{name}"), value.to_owned());
        }
        variables.insert(format!("{whose}PLATFORM"), format!("linux/{arch}"));
    }
    variables
}

/// How a `FROM` names its stage, in lower case: stage names do not mind case.
fn stage_name(from: &Instruction, escape: char) -> Option<String> {
    match &raw_words(Flags::of(&from.rest).rest, escape)[..] {
        [_, keyword, name, ..] if keyword.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
        _ => None,
    }
}

struct Reader<'a> {
    path: &'a str,
    escape: char,
    args: &'a BTreeMap<String, String>,
    /// What may stand in the name of a base.
    variables: BTreeMap<String, String>,
    steps: Vec<Step>,
    stages: Vec<Stage>,
    lines: &'a [String],
    here: HereDocuments,
}

impl Reader<'_> {
    fn take(&mut self, instruction: Instruction, names: &[Option<String>]) -> Result<(), BuildError> {
        let keyword = instruction.keyword.as_str();
        if !keyword.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(self.refused(&instruction, &format!("unknown instruction '{}'", keyword.escape_debug())));
        }
        if let Some(problem) = self.unknown_document(&instruction) {
            return Err(self.refused(&instruction, problem));
        }
        if instruction.rest.ends_with(self.escape) {
            let text = format!("the instruction ends with '{}': write it without", self.escape);
            return Err(self.refused(&instruction, &text));
        }
        let mut step = Step {
            flags: Vec::new(),
            rest: instruction.rest.clone(),
            base: None,
            origins: BTreeMap::new(),
            instruction,
        };
        match step.instruction.keyword.as_str() {
            "from" => self.take_from(&mut step)?,
            "copy" | "add" | "run" => self.take_flags(&mut step, names)?,
            "onbuild" => {
                let trigger = step.instruction.rest.clone();
                if let Err(problem) = check_trigger(&trigger, self.escape, names) {
                    return Err(self.refused(&step.instruction, &problem));
                }
            }
            "arg" if self.stages.is_empty() => self.take_global(&step.instruction),
            _ => {}
        }
        self.steps.push(step);
        Ok(())
    }

    /// What cannot be said to an engine that does not know here-documents.
    fn unknown_document(&self, instruction: &Instruction) -> Option<&'static str> {
        let documents = &self.lines[instruction.documents.clone()];
        if self.here == HereDocuments::Known || documents.is_empty() {
            return None;
        }
        match instruction.keyword.as_str() {
            "run" if Shell::is_program(Flags::of(&instruction.rest).rest, documents, self.escape) => Some(
                "this server's container engine (before version 23) runs no here-document that begins with '#!': name its \
                 program (RUN python3 <<EOF)",
            ),
            "run" => None,
            _ => Some(
                "this server's container engine (before version 23) knows here-documents in RUN only: commit the text as a file \
                 and copy that",
            ),
        }
    }

    /// What is declared before the first stage may stand in the names of bases.
    fn take_global(&mut self, arg: &Instruction) {
        for word in raw_words(&arg.rest, self.escape) {
            let (name, default) =
                word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let given = self.args.get(name).cloned();
            let value = given.or_else(|| expand(default?, self.escape, &self.variables));
            match value {
                Some(value) => _ = self.variables.insert(name.to_owned(), value),
                None => _ = self.variables.remove(name),
            }
        }
    }

    fn take_from(&mut self, step: &mut Step) -> Result<(), BuildError> {
        let from = &step.instruction;
        let flags = Flags::of(&from.rest);
        if !flags.is_plain {
            return Err(self.refused(from, "write the flags of FROM without quotes and escapes"));
        }
        let words = raw_words(flags.rest, self.escape);
        let Some((word, more)) = words.split_first() else {
            return Err(self.refused(from, "FROM names nothing to build on"));
        };
        let base = expand(word, self.escape, &self.variables).ok_or_else(|| {
            self.refused(from, &format!("'{}' cannot be resolved: name the image itself", word.escape_debug()))
        })?;
        let lower = base.to_ascii_lowercase();
        let earlier = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(&*lower));
        let origin = match earlier {
            Some(number) => Origin::Stage(number),
            None if base == "scratch" => Origin::Scratch,
            None => Origin::Image(base.parse().map_err(|error| self.refused(from, &format!("FROM: {error}")))?),
        };
        step.base = Some(origin.clone());
        step.rest = more.join(" ");
        step.flags = flags.flags;
        self.stages.push(Stage { name: stage_name(from, self.escape), runs: false, base: origin });
        Ok(())
    }

    fn take_flags(&mut self, step: &mut Step, names: &[Option<String>]) -> Result<(), BuildError> {
        let instruction = step.instruction.clone();
        let flags = Flags::of(&instruction.rest);
        let keyword = instruction.keyword.as_str();
        if keyword == "run"
            && let Some(stage) = self.stages.last_mut()
        {
            stage.runs = true;
        }
        if keyword == "add" && is_remote(&instruction.rest, self.escape) {
            return Err(self.refused(&instruction, REMOTE));
        }
        // The flags of others may stay as they were written; mounts of the build's files are told apart later.
        let is_plain_run = keyword == "run" && flags.is_plain;
        if !(flags.may_name_an_image() || is_plain_run) {
            return Ok(());
        }
        if !flags.is_plain {
            return Err(
                self.refused(&instruction, "write flags that name an image or a stage without quotes and escapes")
            );
        }
        for (number, flag) in flags.flags.iter().enumerate() {
            if let Some(name) = named(keyword, flag)
                && let Some(origin) =
                    self.origin(name, names).map_err(|problem| self.refused(&instruction, &problem))?
            {
                if let (Origin::Stage(number), "run") = (&origin, keyword)
                    && names[*number].is_none()
                {
                    let problem = "a mount finds its stage by name: give the stage one (FROM ... AS name)";
                    return Err(self.refused(&instruction, problem));
                }
                step.origins.insert(number, origin);
            }
        }
        step.flags = flags.flags;
        step.rest = flags.rest.to_owned();
        Ok(())
    }

    /// What a flag means by a name; `None` for an empty one, which means the build's own files.
    fn origin(&self, name: &str, names: &[Option<String>]) -> Result<Option<Origin>, String> {
        if name.is_empty() {
            return Ok(None);
        }
        // The stage that this belongs to is none of those that it can copy from.
        let earlier = self.stages.len().saturating_sub(1);
        if let Ok(number) = name.parse::<usize>() {
            return match number {
                number if number < earlier => Ok(Some(Origin::Stage(number))),
                _ => Err(format!("there is no stage {number} before this one")),
            };
        }
        let lower = name.to_ascii_lowercase();
        let is_named = |stage: &Option<String>| stage.as_deref() == Some(&*lower);
        if let Some(number) = names[..earlier].iter().rposition(is_named) {
            return Ok(Some(Origin::Stage(number)));
        }
        if names.iter().any(is_named) {
            return Err(format!("stage '{name}' does not come before this one: move it up"));
        }
        if name == "scratch" {
            return Ok(Some(Origin::Scratch));
        }
        if name.contains('$') {
            return Err(format!(
                "variables are not replaced in '{name}': give the image a stage of its own (FROM {name} AS tools) and \
                 copy from that"
            ));
        }
        let image = name.parse().map_err(|error| format!("{error}, nor a stage of this file"))?;
        Ok(Some(Origin::Image(image)))
    }

    fn refused(&self, instruction: &Instruction, problem: &str) -> BuildError {
        BuildError::Refused(format!(
            "{}, line {}: {problem}; correct it, commit and push again.",
            self.path,
            instruction.lines.start + 1
        ))
    }
}

/// The origin that a flag of this instruction names.
fn named<'f>(keyword: &str, flag: &'f str) -> Option<&'f str> {
    match keyword {
        "copy" => flag.strip_prefix("--from="),
        "run" => {
            let fields = flag.strip_prefix("--mount=")?.split(',');
            let mut named = fields.filter_map(|field| field.split_once('='));
            named.find(|(key, _)| key.eq_ignore_ascii_case("from")).map(|(_, name)| name)
        }
        _ => None,
    }
}

const REMOTE: &str = "ADD fetches from an address outside of the build's own network, which is not allowed here: fetch it with \
                      RUN curl or RUN wget";

/// Whether an `ADD` may have the engine itself fetch something. A variable may become anything.
fn is_remote(rest: &str, escape: char) -> bool {
    const BEGINNINGS: [&str; 6] = ["http://", "https://", "git://", "git@", "ssh://", "github.com/"];
    let rest = Flags::of(rest).rest;
    let words = match serde_json::from_str::<Vec<String>>(rest) {
        Ok(words) => words,
        Err(_) => raw_words(rest, escape).iter().map(|word| unquoted(word, escape)).collect(),
    };
    let sources = words.split_last().map_or(&[][..], |(_, sources)| sources);
    sources.iter().any(|source| {
        let source = source.to_ascii_lowercase();
        let (literal, is_whole) = source.split_once('$').map_or((source.as_str(), true), |(before, _)| (before, false));
        BEGINNINGS.iter().any(|begin| literal.starts_with(begin) || (!is_whole && begin.starts_with(literal)))
    })
}

/// Whether an `ONBUILD` instruction may run: what it draws on is not replaced, so it must be a stage with a name.
///
/// # Errors
/// What is wrong, as the rest of a sentence.
pub(super) fn check_trigger(trigger: &str, escape: char, names: &[Option<String>]) -> Result<(), String> {
    let trigger = trigger.trim();
    let (keyword, rest) = trigger.split_once(char::is_whitespace).unwrap_or((trigger, ""));
    let (keyword, rest) = (keyword.to_ascii_lowercase(), rest.trim());
    let flags = Flags::of(rest);
    if keyword == "add" && is_remote(rest, escape) {
        return Err(format!("ONBUILD: {REMOTE}"));
    }
    if !["copy", "run"].contains(&keyword.as_str()) || !flags.may_name_an_image() {
        return Ok(());
    }
    let mut origins = flags.flags.iter().filter_map(|flag| named(&keyword, flag));
    let is_stage = |name: &str| names.iter().any(|stage| stage.as_deref() == Some(&*name.to_ascii_lowercase()));
    if flags.is_plain && origins.all(is_stage) {
        return Ok(());
    }
    Err(format!("ONBUILD cannot draw on another image: '{}'", trigger.escape_debug()))
}

impl Layout {
    /// Whether an instruction that a base image brings along (`ONBUILD`) may run here.
    ///
    /// # Errors
    /// As [`check_trigger`].
    pub fn check_trigger(&self, trigger: &str) -> Result<(), String> {
        let names: Vec<_> = self.stages.iter().map(|stage| stage.name.clone()).collect();
        check_trigger(trigger, '\\', &names)
    }
}

#[cfg(test)]
mod tests {
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
        assert!(
            written(HereDocuments::Unknown, shells).ends_with("RUN [\"/bin/bash\",\"-c\",\"cat <<E\\nx\\nE\\n\"]\n")
        );
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
}
