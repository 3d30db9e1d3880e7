//! Requests to the API, on a database with little in it and on one that is full of what others have.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use crate::api::Api;
use crate::machine::{two_cores, undisturbed};
use crate::population::{self, APPS, RELEASES};
use crate::postgres::Postgres;
use crate::report::{Aim, Row, Section, Unit};
use crate::server::Server;
use crate::stats::{Samples, sides};
use crate::wrk::Wrk;

const ROUNDS: usize = 3;
/// One measurement of one request on one server.
const RUN: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
/// Connections at the same time.
const CONNECTIONS: [usize; 2] = [1, 32];

/// The person's apps.
const OWN_APPS: usize = 10;
/// Releases of each but the first, which has a full page of them.
const OWN_RELEASES: usize = 10;
const FULL_PAGE: usize = 100;

/// A request that is measured.
struct Kind {
    name: &'static str,
    path: &'static str,
    is_read: bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "apps list", path: "/v1/apps", is_read: true },
    Kind { name: "app info", path: "/v1/apps/own-1", is_read: true },
    Kind { name: "releases list", path: "/v1/apps/own-1/releases", is_read: true },
    Kind { name: "releases list, full page", path: "/v1/apps/own-0/releases", is_read: true },
    Kind { name: "config set", path: "/v1/apps/own-1/config", is_read: false },
];

/// A server on its core, and somebody with apps on it.
struct Side {
    server: Server,
    token: String,
    _folder: TempDir,
}

/// Measures.
pub async fn measure() -> Result<Section> {
    let (core, other_core) = two_cores()?;
    let postgres = Postgres::start().await?;
    let mut rows = Vec::new();
    for database in ["SQLite", "PostgreSQL"] {
        let urls = match database {
            "SQLite" => [None, None],
            _ => [Some(postgres.database("few").await?), Some(postgres.database("many").await?)],
        };
        let [few, many] = urls;
        let sides = [Side::start(many, core, true).await?, Side::start(few, core, false).await?];
        for kind in &KINDS {
            for connections in CONNECTIONS {
                rows.extend(measure_kind(database, kind, connections, &sides, other_core).await?);
            }
        }
    }
    Ok(Section {
        title: "Requests to the API",
        how: format!(
            "Somebody with {OWN_APPS} apps asks: a list of those, one of them, its {OWN_RELEASES} releases, another one's \
             {FULL_PAGE}, and sets a config value of one app after the other, which cuts a release each time. The \
             baseline is the same request on a server whose database holds nothing else; Slipway's has {APPS} apps and \
             {RELEASES} releases of somebody else beside. The server is started on one core, wrk runs on the other, \
             PostgreSQL on both. Rounds are measured again as those of the router are."
        ),
        baseline: "few",
        rows,
        steps: Vec::new(),
    })
}

async fn measure_kind(
    database: &str,
    kind: &Kind,
    connections: usize,
    both: &[Side; 2],
    core: usize,
) -> Result<Vec<Row>> {
    let (mut rates, mut p99s) = (vec![Samples::default(); 2], vec![Samples::default(); 2]);
    for side in both {
        side.wrk(kind, connections, core)?.run(WARM_UP).await?;
    }
    for round in 0..ROUNDS {
        let order = if sides(round) == sides(0) { [0, 1] } else { [1, 0] };
        for number in order {
            let wrk = both[number].wrk(kind, connections, core)?;
            let measured = undisturbed(async || wrk.run(RUN).await).await?;
            rates[number].push(measured.requests_per_second);
            p99s[number].push(measured.p99_milliseconds);
        }
    }
    let name = |what: &str| {
        format!(
            "{database}, {}, {connections} connection{}: {what}",
            kind.name,
            if connections == 1 { "" } else { "s" }
        )
    };
    let row = |what: &str, unit: Unit, samples: &[Samples]| {
        Row::compared(name(what), unit, samples[0].clone(), samples[1].clone())
    };
    let (rate, p99) = (row("requests/s", Unit::PerSecond, &rates), row("p99", Unit::FineMilliseconds, &p99s));
    let has_aim = kind.is_read && connections == 32;
    Ok(if has_aim { vec![rate.aim(Aim::AtLeast(5000.0)), p99.aim(Aim::AtMost(10.0))] } else { vec![rate, p99] })
}

impl Side {
    /// Starts a server, lets somebody make apps, and fills the database up where there is to be much in it.
    async fn start(database_url: Option<String>, core: usize, is_full: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("slipway-bench-api-").tempdir()?;
        let mut server = Server::start_on(folder.path(), database_url.clone()).await?;
        Api::register_as(&server.addresses, "other").await?;
        let api = Api::register_as(&server.addresses, "person").await?;
        for number in 0..OWN_APPS {
            let app = format!("own-{number}");
            api.create_app(&app).await?;
            for release in 1..if number == 0 { FULL_PAGE } else { OWN_RELEASES } {
                api.set_config(&app, &json!({ "KEY": release })).await?;
            }
        }
        if is_full {
            server.stop();
            let database = server.data_dir().join("slipway.db");
            let sqlite = format!("sqlite://{}", database.display());
            population::fill(database_url.as_deref().unwrap_or(&sqlite), "other").await?;
        }
        server.restart(Some(core)).await?;
        fs::write(script_in(folder.path()), SET_CONFIG).context("writing a script for wrk")?;
        Ok(Self { server, token: api.token().to_owned(), _folder: folder })
    }

    fn wrk(&self, kind: &Kind, connections: usize, core: usize) -> Result<Wrk> {
        let folder = self.server.data_dir();
        let folder = folder.parent().context("it is below the folder of the run")?;
        Ok(Wrk {
            core,
            connections,
            headers: vec![format!("Authorization: token {}", self.token), "Content-Type: application/json".to_owned()],
            script: (!kind.is_read).then(|| script_in(folder)),
            url: format!("http://{}{}", self.server.addresses.api, kind.path),
        })
    }
}

fn script_in(folder: &Path) -> PathBuf {
    folder.join("set-config.lua")
}

/// Takes the apps in turns, so that few requests wait for another one's change of the same app.
const SET_CONFIG: &str = r#"
local turn = 0
function request()
  turn = turn + 1
  local path = "/v1/apps/own-" .. (turn % 10) .. "/config"
  return wrk.format("POST", path, nil, '{"values": {"KEY": ' .. turn .. '}}')
end
"#;
