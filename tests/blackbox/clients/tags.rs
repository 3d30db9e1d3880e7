//! tags:set, tags:list, tags:unset

use super::Story;

/// Without containers a tag only has to be well formed.
pub async fn before_the_first_build(story: &Story<'_>) {
    let (bob, heading) = (&story.bob, format!("=== {} Tags", story.app));
    bob.can("tags", &[&heading, "No tags defined"]).await;
    let listed = ["environ      prod", "rack         1"];
    bob.can("tags:set environ=prod rack=1", &[&["Applying tags... done, v", &heading][..], &listed].concat()).await;
    bob.can("tags:list", &listed).await;
    bob.can("releases", &["bob added tag environ, rack"]).await;
    bob.cannot("tags:set Environ=prod", &["400 BAD REQUEST", "tags", "Tag keys can only contain [a-z]"]).await;
    bob.cannot("tags:set environ=a-b", &["400 BAD REQUEST", "tags", "Invalid tag value"]).await;
    bob.can("tags:unset environ rack", &["Applying tags... done, v", "No tags defined"]).await;
}

/// Containers only run where the tags are met; the only node of this machine has no such label.
pub async fn on_a_running_app(story: &Story<'_>) {
    let (bob, before) = (&story.bob, story.app().versions().await);
    let said = ["503 SERVICE UNAVAILABLE", "Detail:", "no node has the label environ=nowhere"];
    bob.cannot("tags:set environ=nowhere", &said).await;
    bob.can("tags:list", &["No tags defined"]).await;
    assert_eq!(story.app().versions().await, before);
    story.app().page().await;
}
