//! What the person who pushed reads: Heroku's visual grammar.

use std::time::{Duration, Instant};

use crate::engine::LineSink;

/// One step of a build, with its duration at the end.
pub(super) struct Phase<'a> {
    started: Instant,
    on_line: LineSink<'a>,
}

impl<'a> Phase<'a> {
    /// Announces the step.
    pub fn begin(on_line: LineSink<'a>, title: &str) -> Self {
        on_line(&format!("-----> {title}"));
        Self { started: Instant::now(), on_line }
    }

    /// Says a detail of it.
    pub fn detail(&self, text: &str) {
        detail(self.on_line, text);
    }

    /// Ends it well.
    pub fn done(self) {
        self.detail(&format!("done in {}", seconds(self.started.elapsed())));
    }
}

/// A line of detail below a step.
pub(super) fn detail(on_line: LineSink<'_>, text: &str) {
    on_line(&format!("       {text}"));
}

/// A line of trouble.
pub(super) fn trouble(on_line: LineSink<'_>, text: &str) {
    on_line(&format!(" !     {text}"));
}

/// `3.2 s`
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// `812 B`, `3.1 KB`, `3.1 MB`, in powers of 1024 as Heroku counts slugs.
pub(super) fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let of = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KB", of(1 << 10)),
        _ => format!("{:.1} MB", of(1 << 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_have_one_decimal() {
        assert_eq!(size(812), "812 B");
        assert_eq!(size(3_250_586), "3.1 MB");
        assert_eq!(size(2048), "2.0 KB");
        assert_eq!(seconds(Duration::from_millis(3210)), "3.2 s");
    }
}
