//! keys:add, keys:list, keys:remove

use super::Story;

pub async fn add_and_remove(story: &Story<'_>) {
    let bob = &story.bob;
    bob.can("keys", &["No keys found"]).await;

    let uploading = "Uploading tester@laptop to Deis...done";
    let key = bob.home().join(".ssh/id_client.pub");
    bob.can(&format!("keys:add {}", key.display()), &[uploading]).await;
    let blob = bob.user.key.public.rsplit_once(' ').expect("the key has a comment").0;
    let line = format!("tester@laptop {}...{}", &blob[..16], &blob[blob.len() - 10..]);
    bob.can("keys:list", &["=== bob Keys", &line]).await;
    bob.cannot(&format!("keys:add {}", key.display()), &["400 BAD REQUEST", "This field must be unique."]).await;
    story.eve.cannot(&format!("keys:add {}", key.display()), &["400 BAD REQUEST", "This field must be unique."]).await;

    bob.can("keys:remove tester@laptop", &["Removing tester@laptop SSH Key... done"]).await;
    bob.cannot("keys:remove tester@laptop", &["404 NOT FOUND", "Not found"]).await;
    bob.can("keys:list", &["No keys found"]).await;

    // Without a comment the client calls the key like its file, and sends the newline along.
    let bare = bob.home().join("bare.pub");
    std::fs::write(&bare, format!("{blob}\n")).expect("our own folder");
    bob.can(&format!("keys:add {}", bare.display()), &["Uploading bare to Deis...done"]).await;
    bob.can("keys:remove bare", &["done"]).await;

    for person in [&story.ada, bob, &story.eve] {
        let found = "1) id_client.pub tester@laptop";
        person.type_in("keys:add", "1\n").await.succeeded().says(&[found, uploading]);
    }
}
