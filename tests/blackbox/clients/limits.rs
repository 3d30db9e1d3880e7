//! limits:set, limits:list, limits:unset

use super::Story;

pub async fn set_and_unset(story: &Story<'_>) {
    let (bob, app, web) = (&story.bob, &story.app, story.web);
    let heading = format!("=== {app} Limits");
    bob.can("limits", &[&heading, "--- Memory\nUnlimited", "--- CPU\nUnlimited"]).await;
    let applied = async |version: u64| format!("Applying limits... done, v{version}");

    let (said, memory) = (applied(story.next().await).await, format!("--- Memory\n{web}      96M"));
    bob.can(&format!("limits:set {web}=96M"), &[&said, &heading, &memory, "--- CPU\nUnlimited"]).await;
    assert_eq!(story.app().container().await.memory, 96 << 20);
    let said = applied(story.next().await).await;
    bob.can(&format!("limits:set --cpu {web}=512"), &[&said, &format!("--- CPU\n{web}      512")]).await;
    bob.can("limits:list", &[&memory, &format!("--- CPU\n{web}      512")]).await;
    bob.cannot(&format!("limits:set {web}=96X"), &["400 BAD REQUEST", "memory", "Limit format"]).await;
    bob.cannot(&format!("limits:set --cpu {web}=2000"), &["400 BAD REQUEST", "cpu", "between 0 and 1024"]).await;
    bob.can(&format!("limits:unset {web}"), &["--- Memory\nUnlimited", &format!("--- CPU\n{web}      512")]).await;
    bob.can(&format!("limits:unset --cpu {web}"), &["--- Memory\nUnlimited", "--- CPU\nUnlimited"]).await;
    assert_ne!(story.app().container().await.memory, 96 << 20);
}
