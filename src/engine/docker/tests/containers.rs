//! The life of a container.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::{Corner, until, within};
use crate::engine::{
    ContainerState, Engine, EngineError, Init, ListeningPort, Resources, byte_stream, label, small_archive,
};
use crate::model::{GroupPort, Protocol, PublishedPort};

/// Perl that listens on a port, then does nothing.
fn listener(port: u16) -> String {
    format!(
        r#"exec perl -e 'socket(S,2,1,0) or die; bind(S,pack("Sna4x8",2,{port},"\0\0\0\0")) or die; listen(S,5) or die; sleep 600'"#
    )
}

#[tokio::test]
async fn a_container_lives_and_dies() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let spec = corner.spec("life", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done");
    let id = corner.docker.create_container(&spec).await.unwrap();

    let created = corner.docker.container(&spec.name).await.unwrap();
    assert_eq!((created.id, created.name, created.state), (id.clone(), spec.name.clone(), ContainerState::Created));
    assert_eq!(created.labels[label::SERVER], corner.id);
    assert_eq!(created.ip, None);

    corner.docker.start_container(&id).await.unwrap();
    corner.docker.start_container(&id).await.expect("starting what runs is fine");
    until("it is up", || async {
        let output = corner.output(&id).await;
        if output == ["up"] { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    let listed = corner.docker.containers(&corner.labels()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].id, &listed[0].name, &listed[0].state), (&id, &spec.name, &ContainerState::Running));
    assert!(listed[0].ip.is_some());
    assert_eq!(listed[0].ip, corner.docker.container(&id).await.unwrap().ip);

    // It handles SIGTERM itself, so the grace is not used up: the init process passes the signal on.
    let began = Instant::now();
    corner.docker.stop_container(&id, Duration::from_secs(40)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    corner.docker.stop_container(&id, Duration::from_secs(40)).await.expect("stopping what stopped is fine");
    let ended = corner.docker.wait_container(&id).await.unwrap();
    assert_eq!((ended.code, ended.out_of_memory), (7, false));
    assert_eq!(corner.docker.containers(&corner.labels()).await.unwrap()[0].state, ContainerState::Exited(ended));

    corner.docker.remove_container(&id).await.unwrap();
    corner.docker.remove_container(&id).await.expect("removing what is gone is fine");
    corner.docker.stop_container(&id, Duration::ZERO).await.expect("stopping what is gone is fine");
    let gone = corner.docker.container(&id).await.unwrap_err();
    assert!(matches!(gone, EngineError::NotFound { .. }), "{gone:?}");
    assert!(corner.docker.wait_container(&id).await.is_err());
}

/// A script without `exec`, whose child takes a second to finish, and a child of its own session that does, too.
const BEHIND_A_SCRIPT: &str = r#"
    work() { trap 'sleep 1; echo "$1 done"; exit 0' TERM; echo "$1 up"; while :; do sleep 0.1; done; }
    (work other) &
    (work first)
    echo never"#;

/// What was said but by the shell of a child that a signal ended.
async fn said(corner: &Corner, container: &str) -> Vec<String> {
    corner.output(container).await.into_iter().filter(|line| line != "Terminated").collect()
}

#[tokio::test]
async fn every_process_gets_the_signal_and_the_time() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    for reach in [label::TERM_ALL, "first"] {
        let mut spec = corner.spec(&format!("behind-{reach}"), BEHIND_A_SCRIPT);
        spec.labels.insert(label::TERM.to_owned(), reach.to_owned());
        let id = corner.start(&spec).await;
        until("both are up", || async {
            let output = corner.output(&id).await;
            if output.len() == 2 { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
        let began = Instant::now();
        corner.docker.stop_container(&id, Duration::from_secs(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(10), "{reach}: {:?}", began.elapsed());
        let mut output = said(&corner, &id).await;
        output.sort();
        assert_eq!(output, ["first done", "first up", "other done", "other up"], "{reach}");
        assert_eq!(corner.docker.wait_container(&id).await.unwrap().code, 143, "{reach}: it is the script's");
    }
}

/// A shell that traps the signal waits for its child, which knows of nothing unless it is told as well, at half-time.
#[tokio::test]
async fn the_first_process_alone_is_told_while_it_lives() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let script = r#"trap 'echo told' TERM; (trap 'echo child told; exit 0' TERM; echo up; while :; do sleep 0.1; done)
        echo end"#;
    for (reach, grace, expect) in
        [(label::TERM_ALL, 4, &["up", "child told", "told", "end"][..]), ("first", 1, &["up"])]
    {
        let mut spec = corner.spec(&format!("traps-{reach}"), script);
        spec.labels.insert(label::TERM.to_owned(), reach.to_owned());
        let id = corner.start(&spec).await;
        until("it is up", || async {
            let output = corner.output(&id).await;
            if output.len() == 1 { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
        corner.docker.stop_container(&id, Duration::from_secs(grace)).await.unwrap();
        assert_eq!(said(&corner, &id).await, expect, "{reach}");
    }
}

/// Who takes no notice is killed when the time is over, and nobody waits for what ends at once.
#[tokio::test]
async fn a_stop_takes_the_grace_at_most() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    for reach in [label::TERM_ALL, "first"] {
        let mut spec =
            corner.spec(&format!("deaf-{reach}"), "(trap '' TERM; echo up; while :; do sleep 0.1; done)\nexit 0");
        spec.labels.insert(label::TERM.to_owned(), reach.to_owned());
        let id = corner.start(&spec).await;
        until("it is up", || async {
            let output = corner.output(&id).await;
            if output.len() == 1 { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
        let began = Instant::now();
        corner.docker.stop_container(&id, Duration::from_secs(2)).await.unwrap();
        let took = began.elapsed();
        assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(8), "{reach}: {took:?}");

        spec.name = corner.name(&format!("quick-{reach}"));
        spec.command.as_mut().unwrap()[1] = "exec sleep 600".to_owned();
        let id = corner.start(&spec).await;
        let began = Instant::now();
        corner.docker.stop_container(&id, Duration::from_secs(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{reach}: {:?}", began.elapsed());
    }
}

/// An image's own process 1: the signal reaches what it starts, and one that takes no notice costs no time.
#[tokio::test]
async fn an_entry_point_is_process_one() {
    let corner = Corner::new().await;
    let script =
        r#"[ $$ -eq 1 ] && echo first; trap 'sleep 1; echo done; exit 0' TERM; echo up; while :; do sleep 0.1; done"#;
    let inner = format!("({script}) & wait $!; wait; echo over").replace("$$ -eq 1", "$$ -eq 1 -a -d /proc");
    corner.image(&[r#"ENTRYPOINT ["/bin/sh", "-c"]"#]).await;
    for (name, script, ends) in [
        ("alone", "exec sleep 600", &[][..]),
        ("heeds", script, &["first", "up", "done"]),
        ("behind", &inner, &["first", "up", "done", "over"]),
    ] {
        let mut spec = corner.spec(name, script);
        (spec.command, spec.init) = (Some(vec![script.to_owned()]), Init::ByImage);
        let id = corner.start(&spec).await;
        until("it is up", || async {
            let output = corner.output(&id).await;
            if ends.is_empty() || output.iter().any(|line| line == "up") { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
        let began = Instant::now();
        corner.docker.stop_container(&id, Duration::from_secs(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(6), "{name}: {:?}", began.elapsed());
        assert_eq!(said(&corner, &id).await, ends, "{name}");
    }
    let mut spec = corner.spec("by-engine", "[ $$ -eq 1 ] || echo second");
    spec.entrypoint = Some(Vec::new());
    spec.init = Init::ByImage;
    assert_eq!(corner.run(&spec).await.1, ["second"], "without an entry point it has the engine's init");
    spec.name = corner.name("own");
    spec.init = Init::Own;
    assert_eq!(corner.run(&spec).await.1, Vec::<String>::new());
}

#[tokio::test]
async fn a_name_is_taken_over_by_the_same_instance_only() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let mut spec = corner.spec("web", "sleep 1");
    let anonymous = corner.docker.create_container(&spec).await.unwrap();
    let refused = corner.docker.create_container(&spec).await.unwrap_err();
    assert!(refused.to_string().contains(&spec.name), "{refused}");
    corner.docker.remove_container(&anonymous).await.unwrap();

    spec.labels.insert(label::INSTANCE.to_owned(), "one".to_owned());
    let id = corner.docker.create_container(&spec).await.unwrap();
    assert_eq!(corner.docker.create_container(&spec).await.unwrap(), id);
    spec.labels.insert(label::INSTANCE.to_owned(), "two".to_owned());
    assert!(matches!(corner.docker.create_container(&spec).await, Err(EngineError::Refused { .. })));

    spec.image = corner.name("no-such-image");
    spec.name = corner.name("other");
    let missing = corner.docker.create_container(&spec).await.unwrap_err();
    assert!(matches!(&missing, EngineError::NotFound { what } if what.contains("no-such-image")), "{missing:?}");
}

#[tokio::test]
async fn an_empty_label_value_matches_any() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    for instance in ["one", "two"] {
        let mut spec = corner.spec(instance, "sleep 1");
        spec.labels.insert(label::INSTANCE.to_owned(), instance.to_owned());
        corner.docker.create_container(&spec).await.unwrap();
    }
    let count = |instance: &'static str| {
        let mut labels = corner.labels();
        labels.insert(label::INSTANCE.to_owned(), instance.to_owned());
        let corner = &corner;
        async move { corner.docker.containers(&labels).await.unwrap().len() }
    };
    assert_eq!([count("").await, count("one").await, count("three").await], [2, 1, 0]);
}

#[tokio::test]
async fn a_container_is_confined() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let mut spec = corner.spec("confined", "cat /proc/1/comm /proc/self/status; cat /sys/fs/cgroup/pids/pids.max");
    spec.resources = Resources { memory_bytes: Some(64 << 20), cpu_shares: Some(300), pids: Some(50) };
    let (status, output) = corner.run(&spec).await;
    assert_eq!(output[0], "docker-init", "its first process reaps zombies");
    let field = |name: &str| {
        let line = output.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {output:?}"));
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    // Bits of linux/capability.h: all of the list in `containers.rs`, and nothing else.
    let bits = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].iter().fold(0_u64, |set, bit| set | 1 << bit);
    assert_eq!(u64::from_str_radix(&field("CapEff:"), 16).unwrap(), bits);
    assert_eq!(u64::from_str_radix(&field("CapBnd:"), 16).unwrap(), bits);

    let found = corner.docker.raw_inspect(&spec.name).await.unwrap().host_config.unwrap();
    assert_eq!((found.memory, found.memory_swap), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((found.cpu_shares, found.pids_limit), (Some(300), Some(50)));
    let log = found.log_config.unwrap();
    assert_eq!(log.typ.as_deref(), Some("json-file"));
    let options = log.config.unwrap();
    assert_eq!((options["max-size"].as_str(), options["max-file"].as_str()), ("1048576", "2"));
    assert!(status.code == 0 || output.len() > 10, "{status:?} {output:?}");
}

#[tokio::test]
async fn an_image_may_start_as_root_and_drop_to_a_user() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let drop = r#"perl -e '$) = "2000 2000"; $( = 2000; $< = $> = 2000; exec "/bin/id"'"#;
    let (status, output) = corner.run(&corner.spec("drop", drop)).await;
    assert_eq!((status.code, output.join("\n")), (0, "uid=2000 gid=2000 groups=2000".to_owned()));
}

#[tokio::test]
async fn too_much_memory_is_told_apart_from_a_crash() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let mut greedy = corner.spec("greedy", r#"exec perl -e '$x = "x" x (200 << 20); print "had it"'"#);
    greedy.resources.memory_bytes = Some(32 << 20);
    let (status, output) = corner.run(&greedy).await;
    assert_eq!((status.code, status.out_of_memory), (137, true), "{output:?}");
    let listed = corner.docker.containers(&corner.labels()).await.unwrap();
    assert_eq!(listed[0].state, ContainerState::Exited(status));

    let (status, _) = corner.run(&corner.spec("crash", "kill -9 $$")).await;
    assert_eq!((status.code, status.out_of_memory), (137, false));
}

#[tokio::test]
async fn settings_reach_the_process() {
    let corner = Corner::new().await;
    corner.image(&["ENV KEPT=image CHANGED=image", r#"ENTRYPOINT ["/bin/sh", "-c"]"#]).await;
    let mut spec = corner.spec("settings", "");
    spec.command = Some(vec!["id; cat /proc/self/mountinfo; echo $KEPT $CHANGED $PWD".to_owned()]);
    spec.env.insert("CHANGED".to_owned(), "here = there".to_owned());
    spec.user = Some("2000:2001".to_owned());
    spec.workdir = Some("/data".to_owned());
    spec.binds = vec![("/etc/hostname".to_owned(), "/etc/on-host".to_owned())];
    spec.volumes = vec![(corner.name("volume"), "/data".to_owned())];
    corner.docker.ensure_volume(&corner.name("volume"), &corner.labels()).await.unwrap();
    let (_, output) = corner.run(&spec).await;
    assert_eq!(output[0], "uid=2000 gid=2001 groups=2001");
    assert_eq!(output.last().unwrap(), "image here = there /data");
    let mount = |path: &str| output.iter().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{output:?}"));
    assert!(mount(" /etc/on-host ").contains(" ro,"), "{output:?}");
    assert!(mount(" /data ").contains(" rw,"), "{output:?}");

    spec.name = corner.name("cleared");
    spec.entrypoint = Some(vec![]);
    spec.command = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), "echo cleared".to_owned()]);
    assert_eq!(corner.run(&spec).await.1, ["cleared"]);
}

#[tokio::test]
async fn listening_ports_are_seen_from_the_host() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let network = corner.name("net");
    corner.docker.ensure_network(&network, &corner.labels()).await.unwrap();
    let mut spec = corner.spec("listens", &listener(4321));
    spec.network = Some(network);
    let id = corner.docker.create_container(&spec).await.unwrap();
    assert_eq!(corner.docker.listening_ports(&id).await.unwrap(), []);
    corner.docker.start_container(&id).await.unwrap();
    let ports = until("it listens", || async {
        let ports = corner.docker.listening_ports(&id).await.unwrap();
        if ports.is_empty() { Err("nothing".to_owned()) } else { Ok(ports) }
    })
    .await;
    assert_eq!(ports, [ListeningPort((IpAddr::from(Ipv4Addr::UNSPECIFIED), 4321).into())]);
    let ip = corner.docker.container(&id).await.unwrap().ip.unwrap();
    within("the host reaches it", tokio::net::TcpStream::connect((ip, 4321))).await.unwrap();
}

#[tokio::test]
async fn files_go_in_and_out() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let spec = corner.spec("files", "perl -e 'printf \"%o %d %d\\n\", (stat \"/data/a/b\")[2,4,5]'; cat /data/a/b");
    let id = corner.docker.create_container(&spec).await.unwrap();
    let archive = small_archive([(Path::new("a/b"), 0o640, b"hello\n".as_slice())], 2000).unwrap();
    corner.docker.upload(&id, "/data", byte_stream(archive)).await.unwrap();
    corner.docker.start_container(&id).await.unwrap();
    assert_eq!(corner.docker.wait_container(&id).await.unwrap().code, 0);
    assert_eq!(corner.output(&id).await, ["100640 2000 2000", "hello"]);

    let stream = corner.docker.download(&id, "/data/a").await.unwrap();
    let chunks = futures_util::TryStreamExt::try_collect::<Vec<_>>(stream).await.unwrap();
    let bytes = chunks.concat();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let paths = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect::<Vec<_>>();
    assert_eq!(paths, [Path::new("a/"), Path::new("a/b")]);

    let missing = corner.docker.download(&id, "/nowhere").await.err().unwrap();
    assert!(matches!(&missing, EngineError::NotFound { what } if what.contains("/nowhere")), "{missing:?}");
    let missing = corner.docker.upload(&id, "/nowhere", byte_stream(Vec::new())).await.unwrap_err();
    assert!(matches!(&missing, EngineError::NotFound { what } if what.contains("/nowhere")), "{missing:?}");

    let broken = futures_util::stream::iter([Err(std::io::Error::other("the producer broke"))]);
    let error = corner.docker.upload(&id, "/data", Box::pin(broken)).await.unwrap_err();
    assert!(matches!(&error, EngineError::Io { .. }) && error.to_string().contains("the producer broke"), "{error:?}");
}

#[tokio::test]
async fn published_ports_stay_through_restarts_and_are_reached_from_other_networks() {
    let corner = Corner::new().await;
    corner.image(&["EXPOSE 53/udp 5000", "CMD [\"sh\"]"]).await;
    let image = corner.docker.image(&corner.name("image")).await.unwrap();
    let port = |inner, protocol| GroupPort { inner, protocol, outer: None };
    assert_eq!(image.exposed, [port(53, Protocol::Udp), port(5000, Protocol::Tcp)]);
    assert_eq!((image.ports, image.command, image.entrypoint.len()), (vec![5000], vec!["sh".to_owned()], 0));

    for network in ["a", "b"] {
        corner.docker.ensure_network(&corner.name(network), &corner.labels()).await.unwrap();
    }
    let outer = std::net::TcpListener::bind(("0.0.0.0", 0)).unwrap().local_addr().unwrap().port();
    let mut spec = corner.spec("server", &listener(5000));
    spec.network = Some(corner.name("a"));
    spec.published = vec![PublishedPort { inner: 5000, protocol: Protocol::Tcp, outer }];
    let id = corner.start(&spec).await;
    let reach = || async {
        tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, outer)).await.map(drop).map_err(|error| error.to_string())
    };
    until("the port answers", reach).await;
    corner.docker.stop_container(&id, Duration::ZERO).await.unwrap();
    corner.docker.start_container(&id).await.unwrap();
    until("the port answers again", reach).await;

    let mut client = corner.spec("client", &connector("server.test", outer));
    client.network = Some(corner.name("b"));
    client.host_names = vec!["server.test".to_owned()];
    let (status, output) = corner.run(&client).await;
    assert_eq!(status.code, 0, "{output:?}");

    let mut rival = corner.spec("rival", "sleep 1");
    rival.published = spec.published.clone();
    let rival = corner.docker.create_container(&rival).await.unwrap();
    let taken = corner.docker.start_container(&rival).await.unwrap_err();
    assert!(matches!(taken, EngineError::PortTaken { .. }), "{taken:?}");
}

/// Perl that connects to a port of a host that it knows by name.
fn connector(host: &str, port: u16) -> String {
    format!(
        r#"exec perl -e 'open(H,"/etc/hosts"); for(<H>){{ $a=$1 if /^(\d+\.\d+\.\d+\.\d+)\s+{host}/ }} $a or die "no host"; socket(S,2,1,0) or die; connect(S,pack("SnC4x8",2,{port},split(/\./,$a))) or die "$!"'"#
    )
}
