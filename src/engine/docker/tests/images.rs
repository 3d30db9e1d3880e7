//! Images come, get names and go.

use super::support::{Corner, within};
use crate::engine::{ContainerSpec, Engine, EngineError, Labels, PullFailure, label};

#[tokio::test]
async fn images_are_imported_named_and_forgotten() {
    let corner = Corner::new().await;
    let image = corner.image(&["EXPOSE 8080 53/udp 80", r#"CMD ["/bin/sh", "-c", "echo default"]"#]).await;
    assert!(image.id.starts_with("sha256:") && image.size_bytes > 0, "{image:?}");
    assert_eq!(image.ports, [80, 8080]);
    assert_eq!(image.labels[label::SERVER], corner.id);
    assert_eq!(image.tags, [format!("{}:latest", corner.name("image"))]);

    let other = format!("{}:v1", corner.name("other"));
    corner.docker.tag_image(&corner.name("image"), &other).await.unwrap();
    assert_eq!(corner.docker.image(&other).await.unwrap().id, image.id);
    let listed = corner.docker.images(&corner.labels()).await.unwrap();
    assert_eq!(listed.iter().map(|image| image.tags.len()).collect::<Vec<_>>(), [2]);

    corner.docker.remove_image(&corner.name("image")).await.unwrap();
    corner.docker.remove_image(&corner.name("image")).await.expect("removing what is gone is fine");
    assert!(matches!(corner.docker.image(&corner.name("image")).await, Err(EngineError::NotFound { .. })));
    let spec = ContainerSpec {
        name: corner.name("default"),
        image: other.clone(),
        labels: corner.labels(),
        ..ContainerSpec::default()
    };
    assert_eq!(corner.run(&spec).await.1, ["default"]);

    let used = corner.docker.remove_image(&other).await.unwrap_err();
    assert!(matches!(used, EngineError::InUse { .. }), "{used:?}");
}

#[tokio::test]
async fn a_commit_keeps_the_parents_configuration() {
    let corner = Corner::new().await;
    corner.image(&["ENV KEPT=yes", "WORKDIR /data", r#"CMD ["/bin/cat", "file"]"#]).await;
    let mut spec = corner.spec("maker", "echo made > /data/file");
    spec.env.insert("SECRET".to_owned(), "hidden".to_owned());
    spec.user = Some("0:0".to_owned());
    spec.labels.insert(label::OPERATION.to_owned(), "ab12".to_owned());
    assert_eq!(corner.run(&spec).await.0.code, 0);

    let reference = format!("{}:v1", corner.name("committed"));
    let labels =
        Labels::from([(label::SERVER.to_owned(), corner.id.clone()), (label::BUILD.to_owned(), "7".to_owned())]);
    let image = corner.docker.commit_container(&spec.name, &reference, &labels, &[]).await.unwrap();
    assert_eq!(image.tags, [reference.as_str()]);
    assert_eq!(image.labels[label::BUILD], "7");
    assert_eq!(image.labels[label::OPERATION], "");
    let mut plain = ContainerSpec {
        name: corner.name("plain"),
        image: reference.clone(),
        labels: corner.labels(),
        ..ContainerSpec::default()
    };
    assert_eq!(corner.run(&plain).await.1, ["made"]);

    let changes = ["USER 2000", "EXPOSE 5000", r#"ENTRYPOINT ["/bin/sh", "-c", "id; echo $KEPT-$SECRET-"]"#];
    let changes = changes.map(str::to_owned);
    let changed = format!("{}:v2", corner.name("committed"));
    let image = corner.docker.commit_container(&spec.name, &changed, &labels, &changes).await.unwrap();
    assert_eq!(image.ports, [5000]);
    plain.name = corner.name("changed");
    plain.image = changed;
    let (_, output) = corner.run(&plain).await;
    assert!(output[0].starts_with("uid=2000"), "{output:?}");
    assert_eq!(output[1], "yes--");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_told_apart() {
    let corner = Corner::new().await;
    let pull = corner.docker.pull_image("127.0.0.1:1/blog:v1", None, &|_| {});
    let error = within("the engine gives up", pull).await.unwrap_err();
    let failure = match &error {
        EngineError::PullFailed { failure, .. } => *failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure, PullFailure::Unreachable);
}
