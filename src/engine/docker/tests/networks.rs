//! Networks keep apps apart; volumes outlive containers.

use std::net::IpAddr;

use super::support::{Corner, until};
use crate::engine::{Engine, EngineError, Volume};

/// Perl that tries a TCP connection for two seconds and says how it went.
fn dial(address: &str, port: u16) -> String {
    format!(
        r#"perl -e 'alarm 2; $SIG{{ALRM}} = sub {{ print "no way\n"; exit }}; $a = gethostbyname("{address}") or do {{ print "no name\n"; exit }};
           socket(S,2,1,0) or die; print connect(S,pack("Sna4x8",2,{port},$a)) ? "connected\n" : "refused\n"'"#
    )
}

#[tokio::test]
async fn networks_are_made_once_and_keep_apps_apart() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let [blue, red] = [corner.name("blue"), corner.name("red")];
    for network in [&blue, &red, &blue] {
        corner.docker.ensure_network(network, &corner.labels()).await.unwrap();
    }
    let mut names = corner.docker.networks(&corner.labels()).await.unwrap();
    names.sort();
    assert_eq!(names, [blue.clone(), red.clone()]);

    let listen =
        r#"exec perl -e 'socket(S,2,1,0); bind(S,pack("Sna4x8",2,80,"\0\0\0\0")) or die; listen(S,5); sleep 600'"#;
    let mut server = corner.spec("server", listen);
    server.network = Some(blue.clone());
    server.aliases = vec!["db".to_owned()];
    let id = corner.start(&server).await;
    until("the server listens", || async {
        if corner.docker.listening_ports(&id).await.unwrap().is_empty() { Err(String::new()) } else { Ok(()) }
    })
    .await;
    let Some(IpAddr::V4(ip)) = corner.docker.container(&id).await.unwrap().ip else { panic!("no address") };
    assert!(ip.octets()[0] == 10 && (208..224).contains(&ip.octets()[1]), "{ip}");

    let ask = async |name: &str, network: &String, address: &str| {
        let mut client = corner.spec(name, &dial(address, 80));
        client.network = Some(network.clone());
        let answer = corner.run(&client).await.1.join("; ");
        corner.docker.remove_container(&client.name).await.unwrap();
        answer
    };
    assert_eq!(ask("near", &blue, &ip.to_string()).await, "connected");
    assert_eq!(ask("near", &blue, "db").await, "connected");
    assert_eq!(ask("far", &red, "db").await, "no name");
    // While any network of the machine is being created, other tests do that, the engine's rules are off for some
    // milliseconds.
    until("the wall stands", || async {
        let answer = ask("far", &red, &ip.to_string()).await;
        if answer == "no way" { Ok(()) } else { Err(answer) }
    })
    .await;

    corner.docker.remove_network(&red).await.unwrap();
    assert_eq!(corner.docker.networks(&corner.labels()).await.unwrap(), std::slice::from_ref(&blue));
    corner.docker.remove_network(&blue).await.expect("whoever is still in it is taken out");
    assert_eq!(corner.docker.networks(&corner.labels()).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_network_that_is_gone_is_named() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let network = corner.name("net");
    corner.docker.remove_network(&network).await.expect("removing what is not there is fine");
    let mut spec = corner.spec("lost", "sleep 1");
    spec.network = Some(network.clone());
    corner.docker.ensure_network(&network, &corner.labels()).await.unwrap();
    let id = corner.docker.create_container(&spec).await.unwrap();
    corner.docker.remove_network(&network).await.unwrap();
    let error = corner.docker.start_container(&id).await.unwrap_err();
    assert!(matches!(&error, EngineError::NotFound { what } if *what == format!("network {network}")), "{error:?}");
}

#[tokio::test]
async fn more_networks_than_the_engine_has_pools_for() {
    let corner = Corner::new().await;
    let labels = corner.labels();
    let made = (0..40).map(|number| {
        let (docker, labels, name) = (&corner.docker, &labels, corner.name(&format!("net-{}", number / 2)));
        async move { docker.ensure_network(&name, labels).await }
    });
    futures_util::future::try_join_all(made).await.unwrap();
    assert_eq!(corner.docker.networks(&labels).await.unwrap().len(), 20, "two requests for each name, at once");
}

#[tokio::test]
async fn volumes_outlive_containers() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let volume = corner.name("volume");
    corner.docker.ensure_volume(&volume, &corner.labels()).await.unwrap();
    corner.docker.ensure_volume(&volume, &corner.labels()).await.expect("making what is there is fine");
    let spec = |name: &str, script: &str| {
        let mut spec = corner.spec(name, script);
        spec.volumes = vec![(volume.clone(), "/data".to_owned())];
        spec
    };
    corner.run(&spec("writer", "echo kept > /data/file")).await;
    corner.docker.remove_container(&corner.name("writer")).await.unwrap();
    assert_eq!(corner.run(&spec("reader", "cat /data/file")).await.1, ["kept"]);

    let listed = corner.docker.volumes(&corner.labels()).await.unwrap();
    assert_eq!(listed, [Volume { name: volume.clone(), labels: corner.labels() }]);
    // A file system gives small files whole blocks.
    let size = corner.docker.volume_sizes().await.unwrap()[&volume];
    assert!((5..1 << 20).contains(&size), "{size}");

    assert!(matches!(corner.docker.remove_volume(&volume).await, Err(EngineError::InUse { .. })));
    corner.docker.remove_container(&corner.name("reader")).await.unwrap();
    corner.docker.remove_volume(&volume).await.unwrap();
    assert_eq!(corner.docker.volumes(&corner.labels()).await.unwrap(), []);
    corner.docker.remove_volume(&volume).await.expect("removing what is gone is fine");
}
