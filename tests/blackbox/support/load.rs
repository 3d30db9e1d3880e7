//! A continuous client: requests one after another, from several connections, until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Answer, App};

/// Clients at work.
pub struct Load {
    clients: JoinSet<Vec<String>>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
}

impl Load {
    /// Sets clients on an app: some that keep their connection, some that open one per request, some whose requests take
    /// longer than a switch.
    pub fn on(app: &App<'_>) -> Self {
        let mut load = Self { clients: JoinSet::new(), stop: CancellationToken::new(), answered: Arc::default() };
        let url = format!("http://{}", app.user.server.addresses().http);
        let host = format!("{}.localhost", app.name);
        for (path, keeps, count) in
            [("/", true, 3), ("/", false, 2), ("/slow?ms=700", true, 2), ("/slow?ms=1500", false, 1)]
        {
            for _ in 0..count {
                let idle = if keeps { 1 } else { 0 };
                let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle);
                let client = client.timeout(Duration::from_secs(30)).build().expect("a client can be made");
                let (url, host) = (format!("{url}{path}"), host.clone());
                let (stop, answered) = (load.stop.clone(), Arc::clone(&load.answered));
                load.clients.spawn(async move {
                    let mut failures = Vec::new();
                    while !stop.is_cancelled() {
                        let request = client.get(&url).header("Host", &host);
                        match Answer::to(request, &url).await {
                            Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                            Ok(answer) => failures.push(format!("{url}: {} {}", answer.line(), answer.text)),
                            Err(error) => failures.push(error),
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    failures
                });
            }
        }
        load
    }

    /// How many requests were answered with 200 so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets requests in flight end, then yields what failed.
    pub async fn stop(self) -> Vec<String> {
        self.stop.cancel();
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}
