//! `creel-copy sync SRC DST`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use creel::cli;
use creel::config::Credential;
use creel::copy::CopyOptions;
use creel::copy::sync::{
    Below, Filter, Job, MAX_LIST, Naming, Outcome, Pick, Range, TagChoice, Wanted, dry_run,
    parse_lines, parse_yaml, sync,
};
use creel::error::{Error, IoContext, Result};
use creel::spec::Reference;
use creel::transport::{Bare, Location, Places, SideOptions};

use crate::args::{Side, SyncArgs, SyncDestination, SyncSource, copy_options};
use crate::context::Context;
use crate::render;

pub async fn run(context: &Context, args: SyncArgs) -> Result<u8> {
    args.peer.refuse(&args.change)?;
    let work = Work::new(context, &args)?;
    let (pairs, mut failures) = work.pairs(&args).await?;
    if pairs.is_empty() && failures.is_empty() {
        return Err(Error::not_found(format!(
            "nothing to copy: {} holds no wanted image",
            args.source
        )));
    }
    let jobs = work.jobs(pairs, &mut failures).await?;
    if args.dry_run {
        return show_plan(context, &jobs, failures).await;
    }
    let session = context.session(&args.work);
    let mut outcomes = sync(jobs, &session, &|outcome| {
        if let Err(error) = &outcome.result {
            context.say(&format!("failed: {}: {}", outcome.source, error.chain()));
        }
    })
    .await;
    outcomes.extend(failures);
    if let Some(path) = &args.digestfile {
        render::write_file(path, &digest_lines(&outcomes))?;
    }
    report(context, &outcomes)
}

/// One image: where from, where to, and how to reach the source.
struct Pair {
    from: Location,
    to: Location,
    side: SideOptions,
}

/// What the arguments come to.
struct Work<'a> {
    places: Places,
    naming: Naming,
    filter: Filter,
    options: Arc<CopyOptions>,
    source_side: SideOptions,
    destination_side: SideOptions,
    context: &'a Context,
}

impl<'a> Work<'a> {
    fn new(context: &'a Context, args: &SyncArgs) -> Result<Work<'a>> {
        Ok(Work {
            places: context.places_that_keep(&args.work, &args.keep)?,
            naming: naming(args)?,
            filter: Filter::new(&args.include, &args.exclude)?,
            options: Arc::new(CopyOptions {
                no_clobber: args.no_clobber,
                ..copy_options(&context.global, &args.select, &args.change)
            }),
            source_side: context.side(args.source_side.side(), &args.both)?,
            destination_side: context.side(args.destination_side.side(), &args.both)?,
            context,
        })
    }

    /// Everything that is to be copied, and what could not even be listed: one repository that
    /// fails does not hide the others, but it counts.
    async fn pairs(&self, args: &SyncArgs) -> Result<(Vec<Pair>, Vec<Outcome>)> {
        let path = Path::new(&args.source);
        let pairs = match args.src.unwrap_or(SyncSource::Docker) {
            SyncSource::Docker => {
                let text = args.source.strip_prefix("docker://").unwrap_or(&args.source);
                let name = Reference::parse(text)?;
                self.repository(&name, self.source_side.clone()).await?
            }
            SyncSource::Yaml => {
                let mut pairs = Vec::new();
                let mut failures = Vec::new();
                let doing = || format!("reading {}", path.display());
                for wanted in parse_yaml(&read_list(path)?).doing(doing)? {
                    let name = wanted.repository.name();
                    match self.wanted(wanted).await {
                        Ok(found) => pairs.extend(found),
                        Err(error) => failures.push(failure(name, String::new(), error)),
                    }
                }
                return Ok((pairs, failures));
            }
            SyncSource::List => self.listed(&read_list(path)?)?,
            SyncSource::Dir => self.directories(path)?,
        };
        Ok((pairs, Vec::new()))
    }

    /// All wanted tags of a repository, or the one image that was named.
    async fn repository(&self, name: &Reference, side: SideOptions) -> Result<Vec<Pair>> {
        let names = if name.tag().is_some() || name.digest().is_some() {
            vec![name.clone()]
        } else {
            let tags = self.places.tags(name, &side).await?;
            let wanted = tags.iter().filter(|tag| self.filter.wants(tag));
            wanted.map(|tag| name.with_tag(tag)).collect::<Result<_>>()?
        };
        names.into_iter().map(|name| self.pair(name, side.clone())).collect()
    }

    /// What one entry of a YAML list asks for.
    async fn wanted(&self, wanted: Wanted) -> Result<Vec<Pair>> {
        let mut side = self.source_side.clone();
        if let Some((user, password)) = wanted.access.credentials {
            side.credential = Some(Credential::from_login(user, password));
        }
        side.tls_verify = wanted.access.tls_verify.or(side.tls_verify);
        side.cert_dir = wanted.access.cert_dir.or(side.cert_dir);
        let name = &wanted.repository;
        let names: Vec<Reference> = match wanted.tags {
            TagChoice::All => return self.repository(name, side).await,
            TagChoice::These(picks) => picks
                .into_iter()
                .map(|pick| match pick {
                    Pick::Tag(tag) => name.with_tag(&tag),
                    Pick::Digest(digest) => Ok(name.with_digest(digest)),
                })
                .collect::<Result<_>>()?,
            TagChoice::Matching(regex) => {
                let filter = Filter::new(&[regex], &[])?;
                self.tags(name, &side, |tag| filter.wants(tag)).await?
            }
            TagChoice::Versions(range) => {
                let range = Range::parse(&range)?;
                self.tags(name, &side, |tag| range.contains(tag)).await?
            }
        };
        names.into_iter().map(|name| self.pair(name, side.clone())).collect()
    }

    async fn tags(
        &self,
        name: &Reference,
        side: &SideOptions,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<Reference>> {
        let tags = self.places.tags(name, side).await?;
        tags.iter().filter(|tag| wanted(tag)).map(|tag| name.with_tag(tag)).collect()
    }

    fn listed(&self, text: &str) -> Result<Vec<Pair>> {
        parse_lines(text)?
            .into_iter()
            .map(|line| {
                let from = self.places.locate(&line.source, Bare::Registry)?;
                let to = match (&line.destination, &from) {
                    (Some(to), _) => self.places.locate(to, Bare::RegistryIfNamed)?,
                    (None, Location::Registry(name)) => self.naming.destination(name)?,
                    (None, other) => {
                        return Err(Error::usage(format!("the list: say where {other} goes to")));
                    }
                };
                Ok(Pair { from, to, side: self.source_side.clone() })
            })
            .collect()
    }

    /// The `dir:` images below a directory; their paths are their names.
    fn directories(&self, root: &Path) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            let doing = || format!("reading {}", directory.display());
            if directory.join("manifest.json").is_file() {
                let name = directory
                    .strip_prefix(root)
                    .unwrap_or(&directory)
                    .to_string_lossy()
                    .into_owned();
                let name = if name.is_empty() { file_name(root) } else { name };
                let name = Reference::parse(&name)?;
                let to = self.naming.destination(&name)?;
                pairs.push(Pair {
                    from: Location::Directory(directory),
                    to,
                    side: self.source_side.clone(),
                });
                continue;
            }
            for entry in std::fs::read_dir(&directory).doing(doing)? {
                let entry = entry.doing(doing)?;
                if entry.file_type().doing(doing)?.is_dir() {
                    open.push(entry.path());
                }
            }
        }
        Ok(pairs)
    }

    fn pair(&self, name: Reference, side: SideOptions) -> Result<Pair> {
        let to = self.naming.destination(&name)?;
        Ok(Pair { from: Location::Registry(name), to, side })
    }

    /// Opens all places; images that go into one layout share its sink.
    async fn jobs(&self, pairs: Vec<Pair>, failures: &mut Vec<Outcome>) -> Result<Vec<Job>> {
        let mut seen = HashSet::new();
        let mut jobs = Vec::new();
        for pair in pairs {
            let (from, to) = (pair.from.to_string(), pair.to.to_string());
            if !seen.insert((from.clone(), to.clone())) {
                continue;
            }
            match self.job(&pair).await {
                Ok(job) => jobs.push(job),
                Err(error) => failures.push(failure(from, to, error)),
            }
        }
        self.context.say(&match jobs.len() {
            1 => "1 image to copy".to_owned(),
            count => format!("{count} images to copy"),
        });
        Ok(jobs)
    }

    async fn job(&self, pair: &Pair) -> Result<Job> {
        Ok(Job {
            source_name: pair.from.to_string(),
            destination_name: pair.to.to_string(),
            source: Arc::new(self.places.source(&pair.from, &pair.side).await?),
            sink: Arc::new(self.places.sink(&pair.to, &self.destination_side)?),
            blobs_at: blobs_at(&pair.to),
            options: self.options.clone(),
        })
    }
}

fn failure(source: String, destination: String, error: Error) -> Outcome {
    Outcome { source, destination, result: Err(error) }
}

/// What destinations have in common that share their blobs.
fn blobs_at(to: &Location) -> String {
    match to {
        Location::Registry(name) => name.name(),
        Location::Layout(place) => place.path().display().to_string(),
        other => other.to_string(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn naming(args: &SyncArgs) -> Result<Naming> {
    let text = args.destination.as_str();
    let (kind, rest) = match text.split_once(':') {
        Some(("oci", rest)) => (SyncDestination::Oci, rest),
        Some(("dir", rest)) => (SyncDestination::Dir, rest),
        Some(("docker", rest)) => (SyncDestination::Docker, rest.trim_start_matches("//")),
        _ => (args.dest.unwrap_or(SyncDestination::Docker), text),
    };
    let below = match kind {
        SyncDestination::Oci => Below::Layout(rest.into()),
        SyncDestination::Dir => Below::Directory(rest.into()),
        // A host alone is a place to put repositories below.
        SyncDestination::Docker if Reference::has_explicit_registry(&format!("{rest}/x")) => {
            Below::Registry(rest.to_owned())
        }
        SyncDestination::Docker => {
            return Err(Error::usage(format!(
                "{rest:?} does not say where to: begin with a registry's host, as in \
                 docker.io/{rest}, or write oci:{rest} or dir:{rest}"
            )));
        }
    };
    // Without skopeo's flags, a repository is copied onto the repository or layout that was named.
    let from_repository = matches!(args.src, None | Some(SyncSource::Docker));
    let whole = kind != SyncDestination::Docker || rest.contains('/');
    let exact = from_repository && args.dest.is_none() && !args.scoped && whole;
    let suffix = args.append_suffix.clone().unwrap_or_default();
    Ok(Naming { below, scoped: args.scoped, exact, suffix })
}

fn read_list(path: &Path) -> Result<String> {
    use std::io::Read;
    let doing = || format!("reading the list {}", path.display());
    let file = std::fs::File::open(path).doing(doing)?;
    let mut text = String::new();
    file.take(MAX_LIST + 1).read_to_string(&mut text).doing(doing)?;
    if text.len() as u64 > MAX_LIST {
        return Err(Error::invalid(format!(
            "{} is larger than the limit of {MAX_LIST} bytes",
            path.display()
        )));
    }
    Ok(text)
}

fn digest_lines(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        if let Ok(report) = &outcome.result {
            text.push_str(&format!("{} {}\n", report.digest, outcome.destination));
        }
    }
    text
}

/// What would be copied; an error if any of it cannot even be planned.
async fn show_plan(context: &Context, jobs: &[Job], failures: Vec<Outcome>) -> Result<u8> {
    let mut failed = None;
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    let unlisted = failures.into_iter().filter_map(|outcome| {
        let error = outcome.result.err()?;
        Some((outcome.source, outcome.destination, Err(error)))
    });
    for (from, to, plan) in dry_run(jobs).await.into_iter().chain(unlisted) {
        match plan {
            Ok(plan) => {
                let what =
                    if plan.unchanged { "unchanged".to_owned() } else { cli::bytes(plan.bytes) };
                rows.push(vec![from.clone(), to.clone(), what]);
                documents
                    .push(serde_json::json!({"source": from, "destination": to, "plan": plan}));
            }
            Err(error) => {
                let why = error.chain();
                documents
                    .push(serde_json::json!({"source": from, "destination": to, "error": why}));
                rows.push(vec![from, to, why]);
                failed = Some(error);
            }
        }
    }
    if context.global.json {
        render::print_json(&documents)?;
    } else {
        render::print(&cli::table(&["SOURCE", "DESTINATION", "TO MOVE"], &rows))?;
    }
    failed.map_or(Ok(0), Err)
}

/// The table of all outcomes; an error if any failed.
fn report(context: &Context, outcomes: &[Outcome]) -> Result<u8> {
    let mut failed = Vec::new();
    let mut rows = Vec::new();
    let mut documents = Vec::new();
    for outcome in outcomes {
        let (from, to) = (&outcome.source, &outcome.destination);
        match &outcome.result {
            Ok(report) => {
                let what = match report.unchanged {
                    true => "unchanged".to_owned(),
                    false => cli::bytes(report.moved.bytes),
                };
                rows.push(vec!["ok".to_owned(), from.clone(), to.clone(), what]);
                documents
                    .push(serde_json::json!({"source": from, "destination": to, "report": report}));
            }
            Err(error) => {
                failed.push(error.kind());
                rows.push(vec!["FAILED".to_owned(), from.clone(), to.clone(), error.chain()]);
                documents.push(
                    serde_json::json!({"source": from, "destination": to, "error": error.chain()}),
                );
            }
        }
    }
    if context.global.json {
        render::print_json(&documents)?;
    } else {
        render::print(&cli::table(&["", "SOURCE", "DESTINATION", "MOVED"], &rows))?;
    }
    match failed.first() {
        None => Ok(0),
        // One cause for all of them may have a code of its own.
        Some(kind) => {
            let same = failed.iter().all(|other| other == kind);
            let kind = if same { *kind } else { creel::ErrorKind::Failed };
            Err(Error::new(kind, format!("{} of {} images failed", failed.len(), outcomes.len())))
        }
    }
}
