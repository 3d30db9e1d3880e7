//! The words: what the platform talks about, and the rules that hold for each of them. No IO.

mod address;
mod app;
mod automatic_certificate;
mod build;
mod build_policy;
mod build_record;
mod certificate;
mod config;
mod container_vars;
mod cron;
mod domain;
mod group;
pub mod health;
mod ids;
mod image_reference;
mod instance;
mod log;
mod log_drain;
mod log_filter;
mod operation;
mod outbound_allow;
mod process;
mod push;
mod quota;
mod rebase;
mod release;
mod routing;
mod runtime;
mod setting;
mod strategy;
mod target;
mod time;
mod user;

pub use address::{IpNetwork, embedded, is_public};
pub use app::{APP_NAME_MAX, App, AppName, InvalidAppName};
pub use automatic_certificate::{AutomaticCertificate, ChallengeChoice};
pub use build::{Build, BuildKind, BuildStatus, UnknownWord};
pub use build_policy::{BaseImages, Frontend};
pub use build_record::{BuildRecord, Phase, SourceKind};
pub use certificate::{Certificate, CertificateName, InvalidCertificateName};
pub use config::{Config, ConfigValue, ConfigVars, Limits, REGISTRY_PASSWORD, REGISTRY_USERNAME, for_containers};
pub use container_vars::{chosen_init, chosen_port};
pub use cron::{
    COMMAND_MAX as CRON_COMMAND_MAX, CronPolicy, CronRun, CronRunState, CronSchedule, CronTask, CronTaskId,
    InvalidCronTaskId, InvalidSchedule, InvalidZone, TASKS_MAX as CRON_TASKS_MAX, Zone,
};
pub use domain::{Domain, DomainName, InvalidDomainName};
pub use group::{
    Budget, CommandLine, CredentialTerms, Ending, Environment, GROUP_COUNT_MAX, GROUP_NAME_MAX, GroupAction,
    GroupCounts, GroupInstance, GroupInstanceState, GroupLink, GroupPort, GroupState, GroupWork, InstanceAction,
    InvalidCommandLine, LinkUrl, Policies, Policy, ProcessGroup, Protocol, PublishedPort, Remedy, Size,
    TOMBSTONE_MILLIS, Terms, address_of, group_name_of_image, instance_variables, numbered_name, slug_of, url_variable,
    variable_prefix,
};
pub use health::{BuildHealth, Check, CheckKind, HttpQuestion, Question};
pub use ids::{
    AppId, BuildId, CertificateId, ConfigId, GroupId, InstanceId, InvalidId, LogDrainId, OperationId, PushId,
    ReleaseId, SshKeyId, UserId,
};
pub use image_reference::{ImageReference, InvalidImageReference, is_tag};
pub use instance::{Instance, InstanceState};
pub use log::{LOG_COMPONENTS, LogLine, LogSource};
pub use log_drain::{DRAIN_URL_MAX, DrainKind, DrainUrl, InvalidDrainUrl, LogDrain};
pub use log_filter::{InvalidLogChoice, LogFilter, LogInstance, LogOrigin};
pub use operation::{IllegalStep, Operation, OperationKind, OperationStatus, Step};
pub use outbound_allow::OutboundAllow;
pub use process::{Formation, InvalidProcessType, PROCESS_TYPE_MAX, ProcessType, Procfile, ProcfileError};
pub use push::{BUILDER_KEY_MIN, BuilderKey, PushReport, ReportedPush};
pub use quota::{Quota, QuotaExceeded, QuotaKind, QuotaLimits, Quotas, parse_bytes};
pub use rebase::{RebaseOutcome, RebaseResult};
pub use release::{Release, ReleaseStatus};
pub use routing::{HttpsMode, InvalidRouting, MAINTENANCE_PAGE_MAX, Routing, RoutingField, RoutingRule};
pub use runtime::{Runtime, RuntimeMirrors};
pub use setting::{InvalidSetting, check_var};
pub use strategy::Strategy;
pub use target::{InvalidTarget, Target};
pub use time::Timestamp;
pub use user::{InvalidUsername, Registration, SshKey, USERNAME_MAX, User, Username};
