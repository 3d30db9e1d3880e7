//! The rules: of each thing, whether it goes, and why. They only look at [`Facts`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::facts::Facts;
use super::{Item, Kind, Plan};
use crate::build::cache_volume;
use crate::build::{APP_IMAGE_PREFIX, RUNTIME_IMAGE_PREFIX, SlugFile, runtimes_label};
use crate::engine::{BUILD_NETWORK, Container, Image, Labels, Purpose, Volume, label};
use crate::model::{AppId, Runtime};
use crate::rollout::app_network;

/// A slug that was written, or found to be of use, so lately may belong to a build or push that is at work.
pub(super) const SLUG_GRACE: Duration = Duration::from_secs(3600);
/// No build writes to a file for so long.
pub(super) const TEMPORARY_GRACE: Duration = Duration::from_secs(24 * 3600);
/// Laying a slug for a one-off takes no lock; none takes so long.
const CONTAINER_GRACE: Duration = Duration::from_secs(3600);

/// What goes, or stays.
enum Verdict {
    Goes(String),
    Stays(String),
}
use Verdict::{Goes, Stays};

/// All verdicts.
pub(super) fn plan(facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let mut add = |kind, name: String, app, size_bytes, verdict| {
        let (list, why) = match verdict {
            Goes(why) => (&mut plan.goes, why),
            Stays(why) => (&mut plan.stays, why),
        };
        list.push(Item { kind, name, app, size_bytes, why });
    };
    for image in &facts.images {
        for (name, verdict) in facts.bases(image) {
            add(Kind::Image, name, None, Some(facts.own_size(image)), verdict);
        }
        let (app, size) = (facts.app(&image.labels), facts.own_size(image));
        for (name, verdict) in facts.names(image) {
            // As long as it has another name, the image takes its room all the same.
            let size = if image.tags.len() == 1 { size } else { 0 };
            let app = app.or_else(|| facts.app_of_name(&name));
            add(Kind::Image, name, app, Some(size), verdict);
        }
        if is_nameless(image) && facts.is_ours(&image.labels) {
            add(Kind::Untagged, image.id.clone(), app, Some(size), facts.untagged(image));
        }
    }
    for file in &facts.slugs {
        add(Kind::Slug, file.name.clone(), None, Some(file.size_bytes), facts.slug(file));
    }
    for (file, verdict) in facts.runtimes() {
        add(Kind::Runtime, file.name.clone(), None, Some(file.size_bytes), verdict);
    }
    for (volume, size, verdict) in facts.caches() {
        add(Kind::Cache, volume.name.clone(), facts.app(&volume.labels), size, verdict);
    }
    for container in &facts.containers {
        if let Some(verdict) = facts.container(container) {
            add(Kind::Container, container.name.clone(), None, None, verdict);
        }
    }
    let networks: HashSet<String> = facts.apps.keys().map(|app| app_network(*app)).collect();
    for name in facts.networks.iter().filter(|name| name.starts_with("slipway-") && !networks.contains(*name)) {
        let verdict = match name.strip_prefix(BUILD_NETWORK) {
            // A build may have others for the runtimes that it asks for, with more behind its id.
            Some(operation) if facts.operations.contains(operation.split('-').next().unwrap_or_default()) => continue,
            Some(_) => "the build that used it is over",
            None => "its app is gone",
        };
        add(Kind::Network, name.clone(), None, None, Goes(verdict.into()));
    }
    for file in &facts.temporary {
        let verdict = match file.idle() {
            idle if idle < TEMPORARY_GRACE => Stays("a build may be writing it".into()),
            _ => Goes("an interrupted build left it".into()),
        };
        add(Kind::Temporary, file.name.clone(), None, Some(file.size_bytes), verdict);
    }
    plan
}

impl Facts {
    fn is_ours(&self, labels: &Labels) -> bool {
        labels.get(label::SERVER) == Some(&self.server_id) && labels.contains_key(label::BUILD)
    }

    /// The app that an object belongs to, while there is that app.
    fn app(&self, labels: &Labels) -> Option<AppId> {
        let app = labels.get(label::APP).filter(|_| labels.get(label::SERVER) == Some(&self.server_id))?;
        app.parse().ok().filter(|app| self.apps.contains_key(app))
    }

    fn app_of_name(&self, name: &str) -> Option<AppId> {
        self.names_of_images.iter().find(|(_, known)| known == name).map(|(app, _)| *app)
    }

    /// Bytes of an image without those of the largest image that it is made from.
    fn own_size(&self, image: &Image) -> u64 {
        let below = self.images.iter().filter(|base| image.is_built_on(base)).map(|base| base.size_bytes).max();
        u64::try_from(image.size_bytes - below.unwrap_or_default()).unwrap_or_default()
    }

    /// Verdicts on the names of an image that are, or look like, this installation's.
    fn names(&self, image: &Image) -> Vec<(String, Verdict)> {
        let is_ours = self.is_ours(&image.labels);
        let verdict = |name: &String| match self.app_of_name(name) {
            _ if is_ours && !name.starts_with(APP_IMAGE_PREFIX) => {
                Some(Stays("somebody else gave it that name".to_owned()))
            }
            Some(app) => Some(self.named(image, name, Some(app))),
            None if is_ours => Some(self.named(image, name, self.app(&image.labels))),
            None => None,
        };
        image.tags.iter().filter_map(|name| Some((name.clone(), verdict(name)?))).collect()
    }

    fn named(&self, image: &Image, name: &str, app: Option<AppId>) -> Verdict {
        let why = match app {
            None => format!("app {} is gone", image.labels.get(label::APP_NAME).map_or("", String::as_str)),
            Some(app) => {
                if let Some(stays) = self.busy(app) {
                    return stays;
                }
                if self.kept.iter().any(|build| build.engine_image == name) {
                    return Stays("one of the last releases, or what runs, needs it".into());
                }
                format!("none of the last {} releases of {} needs it", self.keep_releases, self.apps[&app].name)
            }
        };
        let is_last_name = image.tags.len() == 1;
        match self.user_of(image).or_else(|| self.derived_from(image)).filter(|_| is_last_name) {
            Some(needed) => Stays(needed),
            None => Goes(why),
        }
    }

    fn untagged(&self, image: &Image) -> Verdict {
        // An image that somebody makes from one of ours inherits its labels, that of the build among them. Two images that
        // Slipway makes for one build stand side by side.
        if self.images.iter().any(|base| image.is_built_on(base) && is_same_build(image, base)) {
            return Stays("somebody else made it from an image of Slipway's".into());
        }
        if let Some(stays) = self.app(&image.labels).and_then(|app| self.busy(app)) {
            return stays;
        }
        match self.user_of(image).or_else(|| self.derived_from(image)) {
            Some(needed) => Stays(needed),
            None => Goes("no name leads to it any more".into()),
        }
    }

    fn busy(&self, app: AppId) -> Option<Verdict> {
        self.busy.get(&app).map(|it| Stays(format!("a {} by {} is at work on {}", it.kind, it.actor, it.app_name)))
    }

    fn user_of(&self, image: &Image) -> Option<String> {
        let user = self.containers.iter().find(|container| container.image_id == image.id)?;
        Some(format!("container {} uses it", user.name))
    }

    /// A nameless image of somebody else's is known by the one that it was made from, which therefore stays.
    fn derived_from(&self, image: &Image) -> Option<String> {
        let is_derived = |other: &&Image| {
            is_nameless(other) && is_same_build(other, image) && other.is_built_on(image) && self.is_ours(&other.labels)
        };
        self.images.iter().find(is_derived).map(|other| format!("image {} was made from it", other.id))
    }

    fn slug(&self, file: &SlugFile) -> Verdict {
        if self.kept.iter().any(|build| build.slug.as_deref() == Some(&file.name)) {
            return Stays("one of the last releases, or what runs, needs it".into());
        }
        if file.idle() < SLUG_GRACE {
            return Stays("it was of use within the last hour".into());
        }
        Goes(format!("none of the last {} releases of any app needs it", self.keep_releases))
    }

    /// The runtimes that no build needs go, those that were of use least lately first, until the rest is within its bounds.
    fn runtimes(&self) -> Vec<(&SlugFile, Verdict)> {
        let is_kept = |name: &str| self.kept_runtimes().any(|kept| kept.archive().as_deref() == Some(name));
        let (mut kept, mut others): (Vec<_>, Vec<_>) = self.runtimes.iter().partition(|file| is_kept(&file.name));
        kept.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        others.sort_unstable_by_key(|file| (Reverse(file.used_at), file.name.clone()));
        let needed = kept.iter().map(|file| file.size_bytes).sum();
        let mut left = self.runtime_bytes.saturating_sub(needed);
        let mut verdict = |file: &SlugFile| {
            if file.idle() < SLUG_GRACE {
                return Stays("it was of use within the last hour".into());
            }
            if file.size_bytes <= left {
                left -= file.size_bytes;
                return Stays("there is room for it".into());
            }
            left = 0;
            Goes(format!(
                "no build that is kept needs it, and all runtimes together may take {}",
                shown_size(self.runtime_bytes)
            ))
        };
        let others: Vec<_> = others.into_iter().map(|file| (file, verdict(file))).collect();
        let needed = |file| (file, Stays("one of the last releases, or what runs, needs it".to_owned()));
        kept.into_iter().map(needed).chain(others).collect()
    }

    fn kept_runtimes(&self) -> impl Iterator<Item = &Runtime> {
        self.kept.iter().flat_map(|build| &build.runtimes)
    }

    /// Names of the stack's images with runtimes, which are made again whenever they are needed.
    fn bases(&self, image: &Image) -> Vec<(String, Verdict)> {
        let is_ours = image.labels.get(label::SERVER) == Some(&self.server_id);
        let made_of = image.labels.get(label::RUNTIMES).filter(|_| is_ours);
        let verdict = |made_of: &String| {
            if self.kept.iter().any(|build| runtimes_label(&build.runtimes) == *made_of) {
                return Stays("builds that are kept have these runtimes".into());
            }
            self.user_of(image).map_or_else(|| Goes("no build that is kept has these runtimes".into()), Stays)
        };
        let names = image.tags.iter().filter(|name| name.starts_with(RUNTIME_IMAGE_PREFIX));
        names.filter_map(|name| Some((name.clone(), verdict(made_of?)))).collect()
    }

    /// Build caches with their sizes: those of apps that are gone go, and those that were used least lately until the rest
    /// is within its bounds.
    fn caches(&self) -> Vec<(&Volume, Option<u64>, Verdict)> {
        let measured = |volume: &Volume| self.caches.sizes.as_ref().and_then(|sizes| sizes.get(&volume.name).copied());
        let mut used = BTreeMap::new();
        for volume in &self.caches.volumes {
            let last = self.app(&volume.labels).map(|app| self.last_builds.get(&app).copied());
            // The newest first, those of apps that are gone at the end.
            used.insert((Reverse(last), &volume.name), volume);
        }
        let mut left = self.build_cache_bytes;
        let mut verdict = |volume: &Volume, size: Option<u64>| {
            let Some(app) = self.app(&volume.labels) else { return Goes("its app is gone".into()) };
            if volume.name != cache_volume(&self.apps[&app]) {
                return Goes("somebody who could write to it has lost access to its app".into());
            }
            let (Some(size), name) = (size, &self.apps[&app].name) else {
                return Stays("it was not measured".into());
            };
            if size <= left {
                left -= size;
                return Stays(format!("builds of {name} use it"));
            }
            left = 0;
            let bounds = format!("all build caches together may take {}", shown_size(self.build_cache_bytes));
            self.busy(app).unwrap_or_else(|| Goes(format!("{bounds}, and other apps than {name} were built later")))
        };
        used.into_values().map(|volume| (volume, measured(volume), verdict(volume, measured(volume)))).collect()
    }

    /// `None` for containers that Slipway did not make, and for one-offs, which the server that runs them looks after.
    fn container(&self, container: &Container) -> Option<Verdict> {
        if container.labels.get(label::SERVER) != Some(&self.server_id) {
            return None;
        }
        let is_young = container.created_at.elapsed() < CONTAINER_GRACE;
        match container.purpose()? {
            Purpose::OneOff(_) => None,
            Purpose::Instance(id) if self.instances.contains(id) => None,
            Purpose::Operation(id) if self.operations.contains(id) || is_young => None,
            Purpose::Instance(_) => Some(Goes("no instance accounts for it".into())),
            Purpose::Operation(_) => Some(Goes("the operation that made it is over".into())),
        }
    }
}

/// Whether nothing but its content id leads to an image. One that was pulled by its digest has a name in that.
fn is_nameless(image: &Image) -> bool {
    let is_ours = |digest: &String| digest.starts_with(APP_IMAGE_PREFIX) || digest.starts_with("<none>");
    image.tags.is_empty() && image.digests.iter().all(is_ours)
}

fn is_same_build(one: &Image, other: &Image) -> bool {
    one.labels.contains_key(label::BUILD) && one.labels.get(label::BUILD) == other.labels.get(label::BUILD)
}

/// `1.5 GiB`, `12.0 MiB`, `3 KiB`.
pub fn shown_size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", of(1 << 20)),
        _ => format!("{:.1} GiB", of(1 << 30)),
    }
}
