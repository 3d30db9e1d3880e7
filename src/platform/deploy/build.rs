//! Source becomes an image, or the image of an earlier build of the same source is found to serve.

use std::sync::Arc;

use super::super::operations::{Live, Progress};
use super::super::{Error, Platform};
use super::SourceRequest;
use super::processes::tell_port;
use crate::build::{BuildRequest, Plan};
use crate::engine::Image;
use crate::model::{Build, BuildHealth, BuildId, Config};
use crate::store::build_records::{self, Yield};
use crate::store::builds::{self, BuildResult, NewBuild};

impl Platform {
    /// Decides how a source is built.
    pub(super) async fn plan(&self, request: &SourceRequest, config: &Config) -> Result<Plan, Error> {
        let (source, config) = (Arc::clone(&request.source), config.values.clone());
        let plan = tokio::task::spawn_blocking(move || crate::build::plan(&source, &config)).await;
        Ok(plan.map_err(|error| Error::Internal(error.into()))??)
    }

    pub(super) async fn build(
        &self,
        live: &Live,
        deploy: &SourceRequest,
        id: BuildId,
        plan: &Plan,
        config: &Config,
        out: &Progress,
    ) -> Result<Build, Error> {
        let (store, app) = (&self.0.store, deploy.handle.app());
        let plan = &self.0.builder.fetch_buildpacks(plan.clone(), &|line| out.line(line)).await?;
        let mut request = BuildRequest {
            app: app.clone(),
            build_id: id,
            operation: live.operation().id.clone(),
            source: Arc::clone(&deploy.source),
            config: config.values.clone(),
            no_cache: deploy.no_cache,
            places: self.build_places(app).await?,
            runtimes: Vec::new(),
        };
        let new = NewBuild {
            app: app.id,
            owner: deploy.handle.user().id,
            kind: plan.kind(),
            image: app.name.to_string(),
            engine_image: String::new(),
            commit: Some(deploy.source.commit().to_owned()),
            dockerfile: String::new(),
        };
        builds::insert(store.pool(), id, &new).await?;
        let earlier = builds::last_runtimes(store.pool(), app.id).await?;
        let on_line = |line: &str| out.line(line);
        request.runtimes = self.0.builder.choose_runtimes(&request, plan, earlier.as_deref(), &on_line).await?;
        builds::set_runtimes(store.pool(), id, &request.runtimes).await?;
        let may_reuse = !(deploy.no_cache || deploy.redeploy);
        let (mut result, reused) = self.image_for(&request, plan, may_reuse, out).await?;
        let image = self.0.engine.image(&result.engine_image).await?;
        tell_port(plan.kind(), result.port, &image, &config.values, out);
        result.health = BuildHealth { app: plan.app_json.healthchecks.clone(), image: image.health.clone() };
        result.cron.clone_from(&plan.app_json.cron);
        builds::succeed(store.pool(), id, &result).await?;
        self.record_image(id, image, reused).await?;
        let build = builds::get(store.pool(), id).await?;
        build.ok_or_else(|| Error::NotFound(format!("build {id}")))
    }

    /// The image, and the earlier build that it is taken from, if nothing had to be built.
    async fn image_for(
        &self,
        request: &BuildRequest,
        plan: &Plan,
        may_reuse: bool,
        out: &Progress,
    ) -> Result<(BuildResult, Option<BuildId>), Error> {
        let fingerprint = self.0.builder.fingerprint(request, plan).await?;
        if may_reuse
            && let Some(earlier) = builds::by_fingerprint(self.0.store.pool(), request.app.id, &fingerprint).await?
            && self.0.builder.ensure_image(&earlier).await.is_ok()
        {
            out.line(&format!("-----> Nothing to build: same source and settings as {}", earlier.short_source()));
            let result = BuildResult {
                engine_image: earlier.engine_image,
                fingerprint: Some(fingerprint),
                slug: earlier.slug,
                procfile: earlier.procfile,
                port: earlier.port,
                health: earlier.health,
                cron: Vec::new(),
            };
            return Ok((result, Some(earlier.id)));
        }
        let built = self.0.builder.build(request, plan, &|line| out.line(line)).await?;
        let result = BuildResult {
            engine_image: built.engine_image,
            fingerprint: Some(fingerprint),
            slug: built.slug,
            procfile: built.procfile,
            port: built.port,
            health: BuildHealth::default(),
            cron: Vec::new(),
        };
        Ok((result, None))
    }

    /// Notes in the build's record which image it led to.
    pub(in crate::platform) async fn record_image(
        &self,
        id: BuildId,
        image: Image,
        reused: Option<BuildId>,
    ) -> Result<(), Error> {
        // The registry's digest names the image for everybody, the engine's id names it here.
        let of_registry = image.digests.first().and_then(|name| name.rsplit_once('@'));
        let digest = of_registry.map_or(image.id, |(_, digest)| digest.to_owned());
        let found = Yield { reused, digest, size_bytes: image.size_bytes };
        Ok(build_records::set_yield(self.0.store.pool(), id, &found).await?)
    }
}
