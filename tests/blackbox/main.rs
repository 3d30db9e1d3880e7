//! The whole of Slipway from outside: the real binary, real git over real ssh, the real engine, a real HTTP client.
//!
//! `make test` prepares the machine. Each test starts a server of its own on free ports and checks at its end that nothing
//! is left in the middle: see `support/invariants.rs`.

mod access;
mod api_wire;
mod as_people_push;
mod at_once;
mod automatic_certificates;
mod buildpacks;
mod builds;
mod certificates;
mod cleanup;
mod clients;
mod config_and_scale;
mod contract;
mod crash;
mod cron;
mod domains;
mod endings;
mod failures;
mod fault_matrix;
mod full_disk;
mod health;
mod hostile;
mod images;
mod languages;
mod lifecycle;
mod logs;
mod no_failed_request;
mod openapi;
mod outages;
mod permissions;
mod push;
mod rebase;
mod restart;
mod router;
mod routing;
mod run;
mod runtimes;
mod starts;
mod strategies;
mod supervision;
mod support;
mod takeover;
mod tenants;
mod tutum;
