//! Which value counts, and what is said about those that cannot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};

use super::options::default_build_memory;
use super::*;

/// A configuration from these three sources. The folder keeps a `slipway.toml` of the directory we run in out of it.
fn load(flags: &[&str], environment: &[(&str, &str)], file: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slipway.toml");
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let arguments = ["slipway", "--config", path].into_iter().chain(flags.iter().copied());
    let matches = Options::augment_args(Command::new("slipway")).try_get_matches_from(arguments).unwrap();
    let environment: BTreeMap<String, String> =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options::from_arg_matches(&matches).unwrap().load_from(&environment)
}

fn error(flags: &[&str], environment: &[(&str, &str)], file: &str) -> String {
    load(flags, environment, file).expect_err("this configuration is wrong").to_string()
}

#[test]
fn nothing_given_yields_the_documented_defaults() {
    let config = load(&[], &[], "").unwrap();
    assert_eq!(config.data_dir, std::env::current_dir().unwrap().join("slipway-data"));
    assert!(config.database_url.as_str().starts_with("sqlite:///"), "{}", config.database_url);
    assert!(config.database_url.as_str().ends_with("/slipway-data/slipway.db?mode=rwc"), "{}", config.database_url);
    let addresses = [config.api_addr, config.ssh_addr, config.http_addr, config.https_addr];
    assert_eq!(
        addresses.map(|address| address.to_string()),
        ["127.0.0.1:8000", "0.0.0.0:2222", "0.0.0.0:8080", "0.0.0.0:8443"]
    );
    assert_eq!((config.domain.as_str(), config.registration), ("localhost", Registration::Closed));
    assert_eq!(config.docker_host, "unix:///var/run/docker.sock");
    assert_eq!((config.build_ca_bundle, config.ready_file), (None, None));
    assert_eq!((config.max_push_bytes, config.log_bytes_per_app), (1 << 30, 8 << 20));
    assert_eq!(
        (config.keep_releases, config.build_cache_bytes, config.stack.as_str()),
        (10, 10 << 30, "slipway/stack")
    );
    assert!((1..=2 << 30).contains(&config.build_memory_bytes));
    assert_eq!((config.build_cpu_shares, config.build_pids), (512, 4096));
    assert_eq!((config.instance_memory_bytes, config.instance_pids), (512 << 20, 1024));
    assert_eq!(config.port_range, 49_153..=65_535);
    let sizes: Vec<_> = config.sizes.iter().map(|size| (size.name.as_str(), size.cpu_shares)).collect();
    assert_eq!(sizes, [("XS", 256), ("S", 512), ("M", 1024), ("L", 2048), ("XL", 4096)].map(|(n, c)| (n, Some(c))));
    assert!(config.sizes.iter().all(|size| size.memory_bytes == size.cpu_shares.map(|shares| shares << 20)));
    assert_eq!(config.api_url, None);
    let times =
        [config.build_timeout, config.boot_timeout, config.drain_timeout, config.stop_grace, config.run_timeout];
    assert_eq!(times, [900, 60, 30, 10, 1200].map(Duration::from_secs));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_default() {
    let (flag, variable, file) = (["--domain", "flag.test"], [("SLIPWAY_DOMAIN", "env.test")], "domain = 'file.test'");
    let check = |config: Result<Config, ConfigError>, expect: &str| assert_eq!(config.unwrap().domain, expect);
    check(load(&flag, &variable, file), "flag.test");
    check(load(&[], &variable, file), "env.test");
    check(load(&[], &[], file), "file.test");
    check(load(&flag, &[], file), "flag.test");
    check(load(&[], &[("SLIPWAY_DOMAIN", "")], file), "file.test");
    check(load(&[], &[], ""), "localhost");
}

#[test]
fn every_setting_is_read_from_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("ca.pem");
    std::fs::write(&bundle, "").unwrap();
    for setting in SETTINGS {
        let value = match setting.flag {
            "build-ca-bundle" => bundle.to_str().unwrap(),
            _ => setting.example,
        };
        let (flag, variable, key) = (format!("--{}", setting.flag), setting.variable(), setting.key());
        load(&[&flag, value], &[], "").unwrap();
        load(&[], &[(&variable, value)], "").unwrap();
        load(&[], &[], &format!("{key} = '{value}'")).unwrap();
        // Each source is really looked at: nonsense in it is found and blamed on it.
        if !["data-dir", "ready-file"].contains(&setting.flag) {
            assert!(error(&[&flag, "?!"], &[], "").starts_with(&format!("flag {flag}: '")), "{flag}");
            let message = error(&[], &[(&variable, "?!")], "");
            assert!(message.starts_with(&format!("environment variable {variable}: '")), "{message}");
            let message = error(&[], &[], &format!("{key} = '?!'"));
            assert!(message.contains(&format!("slipway.toml, key {key}: '")), "{message}");
            assert!(message.contains(setting.example), "{message}");
        }
    }
}

#[test]
fn a_bad_value_is_named_with_its_source_and_an_example() {
    let check = |flags: &[&str], expect: &str| assert_eq!(error(flags, &[], ""), expect);
    check(
        &["--api-addr", "8000"],
        "flag --api-addr: '8000' is not an IP address with a port; write it like 127.0.0.1:8000",
    );
    check(
        &["--registration", "opne"],
        "flag --registration: 'opne' is not one of open, admin-only, closed; write it like open",
    );
    check(
        &["--build-pids", "1"],
        "flag --build-pids: '1' is not a whole number from 16 to 4194304; write it like 4096",
    );
    check(
        &["--boot-timeout", "0s"],
        "flag --boot-timeout: '0s' is too short: at least 1s are needed; write it like 60s",
    );
    check(
        &["--instance-memory", "1M"],
        "flag --instance-memory: '1M' is too small: at least 6291456 bytes are needed; write it like 512MiB",
    );
    check(
        &["--build-ca-bundle", "/nonexistent/ca.pem"],
        "flag --build-ca-bundle: '/nonexistent/ca.pem' cannot be read: No such file or directory (os error 2); \
         write it like /etc/ssl/certs/ca-certificates.crt",
    );
    let message = error(&[], &[], "stop_grace = 1.5");
    assert!(message.contains("key stop_grace: '1.5' is a TOML float, where a text in quotes belongs"), "{message}");
}

#[test]
fn files_with_unknown_keys_or_bad_syntax_are_refused() {
    let message = error(&[], &[], "api_adr = '127.0.0.1:1'");
    assert!(message.contains("unknown key 'api_adr'; the keys are data_dir, "), "{message}");
    let message = error(&[], &[], "[server]\napi_addr = '127.0.0.1:1'");
    assert!(message.contains("unknown key 'server'"), "{message}");
    let message = error(&[], &[], "# settings\n\ndatabase_url = 'postgres://u:hunter2@h/d\n");
    assert!(message.contains("not valid TOML: line 3: "), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let matches = Options::augment_args(Command::new("slipway"))
        .try_get_matches_from(["slipway", "--config", "/nonexistent/slipway.toml"])
        .unwrap();
    let result = Options::from_arg_matches(&matches).unwrap().load_from(&BTreeMap::new());
    assert_eq!(result.unwrap_err().to_string(), "file /nonexistent/slipway.toml cannot be read");
}

#[test]
fn ports_may_be_zero_and_addresses_of_either_family() {
    let config = load(&["--api-addr", "127.0.0.1:0", "--http-addr", "[::]:0"], &[], "").unwrap();
    assert_eq!((config.api_addr.port(), config.http_addr.to_string().as_str()), (0, "[::]:0"));
}

#[test]
fn domains_are_host_names() {
    let check = |text: &str, expect: Option<&str>| {
        assert_eq!(load(&["--domain", text], &[], "").ok().map(|config| config.domain), expect.map(str::to_owned));
    };
    check("Apps.Example.COM", Some("apps.example.com"));
    check("127.0.0.1.nip.test", Some("127.0.0.1.nip.test"));
    check("127.0.0.1", None);
    check("", None);
    check("a..b", None);
    check("example.com.", None);
    check("a_b.test", None);
    check("http://example.com", None);
    check("example.com:8080", None);
    check("x-.test", None);
    check(&"abc.".repeat(60), None);
}

#[test]
fn sizes_have_units() {
    let check = |text: &str, expect: Option<u64>| {
        assert_eq!(
            load(&[&format!("--max-push-size={text}")], &[], "").ok().map(|config| config.max_push_bytes),
            expect,
            "{text}"
        );
    };
    check("2048", Some(2048));
    check("64k", Some(64 << 10));
    check("10 MB", Some(10 << 20));
    check("3GiB", Some(3 << 30));
    check("1T", Some(1 << 40));
    check("1.5G", None);
    check("-1", None);
    check("G", None);
    check("99999999999T", None);
    assert_eq!(load(&[], &[], "max_push_size = 4096").unwrap().max_push_bytes, 4096);
}

#[test]
fn builds_leave_half_of_the_machine_to_the_apps() {
    assert_eq!(default_build_memory(Some(1 << 30)), 512 << 20);
    assert_eq!(default_build_memory(Some(64 << 30)), 2 << 30);
    assert_eq!(default_build_memory(None), 2 << 30);
}

#[tokio::test]
async fn the_default_database_is_where_the_data_directory_is_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("a b?c=d&e#f%20g/ü");
    std::fs::create_dir_all(&data_dir).unwrap();
    let config = load(&["--data-dir", data_dir.to_str().unwrap()], &[], "").unwrap();
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(config.database_url.as_str()).await.unwrap();
    pool.close().await;
    assert!(data_dir.join("slipway.db").is_file());
    assert_eq!(config.data_dir, data_dir);
}

#[test]
fn no_message_prints_the_password_of_the_database() {
    let url = "postgres://slipway:hunter2@db.test:5432/slipway?sslmode=require";
    let config = load(&[], &[("SLIPWAY_DATABASE_URL", url)], "").unwrap();
    assert_eq!(config.database_url.as_str(), url);
    assert_eq!(config.database_url.to_string(), "postgres://slipway:***@db.test:5432/slipway?sslmode=require");
    assert!(!format!("{config:?}").contains("hunter2"));
    for url in
        ["mysql://slipway:hunter2@db.test/x", "slipway:hunter2@db.test", "mysql://u:p@hunter2@h/x", "x://u:hunter2?@h"]
    {
        let message = error(&[], &[("SLIPWAY_DATABASE_URL", url)], "");
        assert!(!message.contains("hunter2"), "{message}");
        assert!(message.contains("postgres://slipway:PASSWORD@127.0.0.1/slipway"), "{message}");
    }
    let query = "postgres://db.test/x?user=u&password=hunter2";
    assert!(!load(&["--database-url", query], &[], "").unwrap().database_url.to_string().contains("hunter2"));
    let matches = Options::augment_args(Command::new("slipway"))
        .try_get_matches_from(["slipway", "--database-url", url])
        .unwrap();
    assert!(!format!("{:?}", Options::from_arg_matches(&matches).unwrap()).contains("hunter2"));
}

#[test]
fn paths_become_absolute() {
    let config = load(&["--ready-file", "run/ready.json"], &[], "").unwrap();
    let expect: PathBuf = std::env::current_dir().unwrap().join("run/ready.json");
    assert_eq!(config.ready_file, Some(expect));
}
