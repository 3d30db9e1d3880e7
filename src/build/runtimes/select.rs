//! Which version of each of its languages a build gets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::{Date, OffsetDateTime};

use super::choose::{choose, overview};
use super::detect::languages;
use super::installer::{Errand, plain};
use super::lines;
use super::version::{Requirement, Version};
use super::wishes::{Wish, wishes};
use super::{Listed, Tool};
use crate::build::output::{Phase, trouble};
use crate::build::plan::{Recipe, SMALL_FILE_BYTES};
use crate::build::text::text_of;
use crate::build::{BuildError, BuildRequest, Builder, Plan, STACK_NAME};
use crate::engine::LineSink;
use crate::git::Source;
use crate::model::Runtime;

/// How long a list of versions counts, and how long nobody is asked again who did not answer.
const LIST_LASTS: Duration = Duration::from_secs(3600);
const SILENCE_LASTS: Duration = Duration::from_secs(300);

/// How many versions a refusal names.
const SHOWN: usize = 8;

impl Builder {
    /// Finds the runtimes that a build by buildpacks asks for, and fetches those that this server has not had yet.
    ///
    /// What a wish means stays as it was in `earlier`, the runtimes of the app's last build, until the wish changes or the
    /// build is to start from nothing. An app that asks for nothing has the stack's own, unless the line of that had ended when
    /// the app was built first: then it has the newest that has settled.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`BuildError::Refused`] when there is no such version, or none that can be had: it says who was asked, what there is,
    /// and what helps.
    pub async fn choose_runtimes(
        &self,
        request: &BuildRequest,
        plan: &Plan,
        earlier: Option<&[Runtime]>,
        on_line: LineSink<'_>,
    ) -> Result<Vec<Runtime>, BuildError> {
        let Recipe::Slug(buildpacks, _) = &plan.recipe else { return Ok(Vec::new()) };
        let (source, buildpacks) = (Arc::clone(&plan.source), buildpacks.clone());
        let asked = self.blocking("reading the repository", move || {
            let files = |path: &str| text_file(&source, path);
            let of = |tool| Ok::<_, BuildError>((tool, wishes(tool, &files)?));
            languages(&buildpacks, &files)?.into_iter().map(of).collect::<Result<Vec<_>, _>>()
        });
        let earlier = earlier.filter(|_| !request.no_cache);
        let mut chosen = Vec::new();
        for (tool, wishes) in asked.await? {
            let none = Wish::none(tool);
            let wish = wishes.first().unwrap_or(&none);
            let known = earlier.into_iter().flatten().find(|it| it.tool == tool.name() && it.wish == wish.text);
            if wish.is_none()
                && known.is_none()
                && (earlier.is_some() || self.has_current(request.errand(), tool).await?)
            {
                continue;
            }
            let choice = Choice { builder: self, request, wish, today: today(), on_line };
            chosen.push(choice.make(known, wishes.get(1..).unwrap_or_default()).await?);
        }
        Ok(chosen)
    }

    /// Whether the stack's version of a language is of a line that still gets fixes.
    async fn has_current(&self, errand: Errand<'_>, tool: Tool) -> Result<bool, BuildError> {
        let versions = self.versions_of_stack(errand).await?;
        let standing = |version| lines::standing(tool, version, today());
        Ok(versions.get(&tool).is_some_and(|version| standing(version) != lines::Standing::Ended))
    }

    /// Who is asked for a language, for messages.
    pub(super) fn source_of(&self, tool: Tool) -> String {
        self.settings
            .runtime_mirrors
            .of(tool.name())
            .map_or_else(|| tool.hosts().to_owned(), |url| format!("the mirror {}", plain(url)))
    }

    /// The versions of a language that its publisher has, asked for now and then.
    async fn available(&self, errand: Errand<'_>, tool: Tool) -> Result<Result<Vec<Version>, String>, BuildError> {
        // Whoever comes while somebody asks waits for the answer.
        let _turn = self.runtimes.listing.lock().await;
        let known = self.runtimes.listed.lock().expect("nothing panics while it is held").get(&tool).cloned();
        if let Some(Listed { at, versions }) = known {
            let lasts = if versions.is_ok() { LIST_LASTS } else { SILENCE_LASTS };
            if at.elapsed() < lasts {
                return Ok(versions);
            }
        }
        let versions = self.versions_there(errand, tool).await?;
        let versions =
            versions.and_then(|found| if found.is_empty() { Err("the list is empty".into()) } else { Ok(found) });
        let listed = Listed { at: Instant::now(), versions: versions.clone() };
        self.runtimes.listed.lock().expect("nothing panics while it is held").insert(tool, listed);
        Ok(versions)
    }
}

/// A choice that is to be made.
struct Choice<'a> {
    builder: &'a Builder,
    request: &'a BuildRequest,
    wish: &'a Wish,
    today: Date,
    on_line: LineSink<'a>,
}

impl Choice<'_> {
    async fn make(&self, known: Option<&Runtime>, others: &[Wish]) -> Result<Runtime, BuildError> {
        let Wish { tool, text, place, .. } = self.wish;
        let Some(requirement) = &self.wish.requirement else {
            return Err(BuildError::Refused(format!(
                "{place} asks for {tool} '{text}', which is no version: write for example {}, commit and push again.",
                tool.example()
            )));
        };
        let title = match self.wish.is_none() {
            true => format!("Finding a current {tool}: this app asks for none, and the stack's own has ended"),
            false => format!("Finding {tool} '{text}', which {place} asks for"),
        };
        let phase = Phase::begin(self.on_line, &title);
        let stack = self.builder.versions_of_stack(self.request.errand()).await?.remove(tool);
        let version = match known {
            Some(Runtime { version: None, .. }) if stack.as_ref().is_some_and(|own| tool.can_use(own, requirement)) => {
                None
            }
            Some(Runtime { version: Some(version), .. }) => {
                phase
                    .detail(&format!("{version}, as in the last build; push with -o no-cache to look for a newer one"));
                self.again(version).await?
            }
            _ => self.find(requirement, stack.as_ref(), &phase).await?,
        };
        if version.is_none() && known.is_some_and(|known| known.version.is_none()) {
            phase.detail("The stack's own, as in the last build");
        }
        self.remark(version.as_ref().or(stack.as_ref()), version.is_none(), others);
        let version = version.map(|version| version.to_string());
        Ok(Runtime { tool: tool.name().to_owned(), version, wish: text.clone() })
    }

    /// The version of the last build.
    async fn again(&self, version: &str) -> Result<Option<Version>, BuildError> {
        let tool = &self.wish.tool;
        let version = Version::parse(version).ok_or_else(|| {
            BuildError::Refused(format!("The last build had {tool} '{version}', which is no version."))
        })?;
        match self.fetch(&version).await? {
            Ok(()) => Ok(Some(version)),
            Err(reason) => Err(BuildError::Refused(format!(
                "This server has {tool} {version} no more, and {} does not give it: {reason}. Push again when it answers, or with \
                 -o no-cache to take another version.",
                self.builder.source_of(*tool)
            ))),
        }
    }

    /// Makes sure that a version is here. Fetching one is work of the build's owner like any other.
    async fn fetch(&self, version: &Version) -> Result<Result<(), String>, BuildError> {
        let tool = self.wish.tool;
        let is_here = self.builder.versions_here(tool)?.contains(version);
        let _turn = if is_here { None } else { Some(self.builder.turn(self.request, self.on_line).await?) };
        self.builder.ensure_runtime(self.request.errand(), tool, version, self.on_line).await
    }

    /// The newest version that fits; `None` for the stack's own.
    async fn find(
        &self,
        requirement: &Requirement,
        stack: Option<&Version>,
        phase: &Phase<'_>,
    ) -> Result<Option<Version>, BuildError> {
        let tool = self.wish.tool;
        let fits = stack.filter(|version| requirement.vendor.is_empty() && requirement.allows(version));
        if let Some(version) = fits.filter(|_| tool.is_compiled()) {
            phase.detail(&format!("{version}, the stack's own"));
            return Ok(None);
        }
        let reason = match self.builder.available(self.request.errand(), tool).await? {
            Err(reason) => reason,
            Ok(there) => match choose(tool, requirement, &there, self.today) {
                None if fits.is_none() => return Err(self.none_fits(&there, stack)),
                None => String::new(),
                // Debian fixes the stack's in place, whatever its last number says.
                Some(version) if fits.is_some_and(|own| tool.is_same_line(own, version)) => String::new(),
                Some(version) => match self.fetch(version).await? {
                    Ok(()) => {
                        phase.detail(&format!("{version}, the newest of the best line that fits"));
                        return Ok(Some(version.clone()));
                    }
                    Err(reason) => reason,
                },
            },
        };
        self.make_do(requirement, stack, fits.is_some(), &reason, phase)
    }

    /// What is here already, when nothing can be fetched for that `reason`; an empty one says that nothing has to be.
    fn make_do(
        &self,
        requirement: &Requirement,
        stack: Option<&Version>,
        fits: bool,
        reason: &str,
        phase: &Phase<'_>,
    ) -> Result<Option<Version>, BuildError> {
        let Wish { tool, text, place, .. } = self.wish;
        let here = self.builder.versions_here(*tool)?;
        let kept = choose(*tool, requirement, &here, self.today);
        if !reason.is_empty() {
            phase.detail(&format!("{} does not give one now: {reason}", self.builder.source_of(*tool)));
        }
        if let Some(version) = stack.filter(|_| fits && (kept.is_none() || reason.is_empty())) {
            phase.detail(&format!("{version}, the stack's own"));
            return Ok(None);
        }
        if let Some(version) = kept {
            phase.detail(&format!("{version}, which this server has"));
            return Ok(Some(version.clone()));
        }
        if let Some(version) = stack.filter(|version| tool.will_do(version, requirement)) {
            trouble(
                self.on_line,
                &format!("{place} asks for {tool} {text}; stack {STACK_NAME} has {version}, which is used."),
            );
            return Ok(None);
        }
        if tool.finds_itself() {
            phase.detail("It is left to the language's own tool, in the app's build");
            return Ok(None);
        }
        Err(self.cannot_be_had(stack, &here, reason))
    }

    fn none_fits(&self, there: &[Version], stack: Option<&Version>) -> BuildError {
        let Wish { tool, text, place, .. } = self.wish;
        BuildError::Refused(format!(
            "{place} asks for {tool} '{text}', and there is no such version. There is: {}; stack {STACK_NAME} has {}. Correct it, \
             commit and push again.",
            shown(overview(*tool, there, SHOWN)),
            stack.map_or_else(|| "none".to_owned(), ToString::to_string)
        ))
    }

    fn cannot_be_had(&self, stack: Option<&Version>, here: &[Version], reason: &str) -> BuildError {
        let Wish { tool, text, place, .. } = self.wish;
        BuildError::Refused(format!(
            "{place} asks for {tool} '{text}', which this server does not have and cannot fetch: {} does not give it ({reason}). \
             It has: {}. Ask for one of these, or push again when that host answers. The server's administrator can name a \
             mirror: SLIPWAY_RUNTIME_MIRRORS={}=URL.",
            self.builder.source_of(*tool),
            shown(stack.into_iter().chain(here)),
            tool.name()
        ))
    }

    /// Says what else there is to know of the version that was chosen.
    fn remark(&self, version: Option<&Version>, is_of_stack: bool, others: &[Wish]) {
        let (tool, Some(version)) = (self.wish.tool, version) else { return };
        for other in others {
            if other.requirement.as_ref().is_some_and(|it| it.vendor.is_empty() && !it.allows(version)) {
                let Wish { text, place, .. } = other;
                let first = &self.wish.place;
                trouble(
                    self.on_line,
                    &format!("{place} asks for {tool} '{text}', which {version} is not; {first} goes first."),
                );
            }
        }
        // Debian goes on with what its release has.
        if let Some(ends) = lines::near_end(tool, version, self.today).filter(|_| !is_of_stack) {
            let end = if ends <= self.today {
                "gets no more security fixes, since"
            } else {
                "gets security fixes only until"
            };
            trouble(self.on_line, &format!("{tool} {version} {end} {ends}: ask for a newer line."));
        }
    }
}

fn shown<'a>(versions: impl IntoIterator<Item = &'a Version>) -> String {
    let versions: Vec<String> = versions.into_iter().map(ToString::to_string).collect();
    if versions.is_empty() { "none".to_owned() } else { versions.join(", ") }
}

fn today() -> Date {
    OffsetDateTime::now_utc().date()
}

/// What is in no encoding that can be told is read as far as it goes: the buildpack says what is wrong with it, if it is its file.
fn text_file(source: &Source, path: &str) -> Result<Option<String>, BuildError> {
    let bytes = source.file(path, SMALL_FILE_BYTES)?;
    let text = |bytes: Vec<u8>| text_of(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
    Ok(bytes.map(text))
}
