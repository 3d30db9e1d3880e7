//! Deploys by hand: a new container on a new port, asked until it answers; the old one goes afterwards.

use std::time::Instant;

use anyhow::Result;

use crate::api::Page;
use crate::docker::Docker;
use crate::process::free_port;

/// What runs by hand.
#[derive(Debug)]
pub struct Hand<'a> {
    docker: &'a Docker,
    /// The container that answers, and where.
    current: Option<(String, Page)>,
    /// Containers that were replaced and still run.
    old: Vec<String>,
    count: u32,
}

/// When the steps of a replacement were done.
#[derive(Debug, Clone, Copy)]
pub struct Replaced {
    /// `docker run` had returned.
    pub started: Instant,
    /// The new container had answered.
    pub answered: Instant,
}

impl<'a> Hand<'a> {
    /// Nothing runs yet.
    pub fn new(docker: &'a Docker) -> Self {
        Self { docker, current: None, old: Vec::new(), count: 0 }
    }

    /// `docker run`, and requests until the first answer. The container before it keeps running.
    pub async fn replace(&mut self, image: &str) -> Result<Replaced> {
        self.count += 1;
        let (port, release) = (free_port()?, format!("hand{}", self.count));
        let container = self.docker.start(image, port, &release).await?;
        let started = Instant::now();
        let page = Page::new(&format!("127.0.0.1:{port}"), "localhost")?;
        let answered = page.until(&release).await?;
        if let Some((old, _)) = self.current.replace((container, page)) {
            self.old.push(old);
        }
        Ok(Replaced { started, answered })
    }

    /// Where the current container answers.
    pub fn page(&self) -> Option<Page> {
        self.current.as_ref().map(|(_, page)| page.clone())
    }

    /// Removes what was replaced.
    pub async fn retire(&mut self) -> Result<()> {
        for container in self.old.drain(..) {
            self.docker.remove(&container).await?;
        }
        Ok(())
    }

    /// Removes everything.
    pub async fn end(mut self) -> Result<()> {
        self.old.extend(self.current.take().map(|(container, _)| container));
        self.retire().await
    }
}

/// Does `work` while the page is asked as often as a page behind the router is during a deploy.
pub async fn under_requests<T>(page: Option<Page>, work: impl Future<Output = Result<T>>) -> Result<T> {
    match page {
        None => work.await,
        Some(page) => tokio::select! {
            done = work => done,
            never = page.keep_asking() => match never? {},
        },
    }
}
