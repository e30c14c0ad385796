//! `creel-build build`, and what can be asked instead of a build.

use std::path::PathBuf;

use creel::build::check::Checked;
use creel::build::deliver::deliver;
use creel::build::diagnostic::{Diagnostic, Severity, one_line, render};
use creel::build::graph::Bases;
use creel::build::source::Source;
use creel::build::{BuildOptions, Built, Failure, Pull, Remote, Squash, TreeExport, call, graph};
use creel::cli;
use creel::error::{Error, IoContext, Result};
use creel::spec::{Dialect, Digest, Reference};
use creel::store::Store;
use creel::transport::{Location, StoreName};

use super::{check, remote, runs};
use crate::args::{
    BuildArgs, Call, Format, Global, ImageFormat, Method, Output, PullWhen, ResultArgs, SquashWhich,
};
use crate::contexts::{Needs, Opener};
use crate::steps::Steps;
use crate::{front, interrupt, render};

/// Builds, or answers what was asked instead.
pub(crate) fn run(global: &Global, args: &BuildArgs) -> Result<u8> {
    let call = match args.check {
        true => Some(Call { method: Method::Check, json: false }),
        false => args.call,
    };
    let json = global.json || call.is_some_and(|call| call.json);
    let method = call.map_or(Method::Build, |call| call.method);
    if method == Method::Build && !args.print_plan {
        return image(global, args);
    }
    let checked = front::load(&args.front, method == Method::Check, global)?;
    match method {
        Method::Check => {
            return check::report(&checked, if json { Format::Json } else { Format::Text });
        }
        Method::Outline | Method::Targets => told(global, &checked, false)?,
        Method::Build => told(global, &checked, true)?,
    }
    match method {
        Method::Outline => outline(&checked, json)?,
        Method::Targets => targets(&checked, json)?,
        _ => plan(&checked, json)?,
    }
    Ok(0)
}

/// Builds an image.
fn image(global: &Global, args: &BuildArgs) -> Result<u8> {
    // Before any thread is there.
    let cancel = interrupt::watch()?;
    for place in
        args.others.cache_from.iter().chain(&args.others.cache_to).filter(|_| !global.quiet)
    {
        cli::say(format_args!(
            "warning: caches are not shared between machines yet: {place} is left alone"
        ));
    }
    let surroundings = front::surroundings(global)?;
    let store = Store::open_with(&surroundings.root, global.store.options())?;
    let platform = front::platform(&args.front);
    let remote = || {
        let found = front::surroundings(global)?;
        let remote = remote::remote(global, &args.bases.access, platform.clone(), found)?;
        Ok(remote::bounded(remote, &args.fetch))
    };
    let (opened, secret) = (|| Ok(store.clone()), |id: &str| runs::secret(&args.run.lent, id));
    let keep_git_dir = front::keeps_git_dir(&args.front);
    let needs = Needs { store: &opened, remote: &remote, secret: &secret, keep_git_dir };
    let input = front::Input::read(&args.front, false, Opener::new(needs))?;
    let mut opener = Opener::new(needs);
    let contexts = front::contexts(&args.front, &mut opener)?;
    let remote = remote()?;
    let run = runs::settings(&args.run, cancel)?;
    let options = BuildOptions { run: Some(run), contexts, ..options(args, &input)? };
    let steps = Steps::new(global);
    let mut checked = |bases: Bases<'_>| {
        let checked = input.check(bases);
        told(global, &checked, true).map(|()| checked)
    };
    match creel::build::build(&store, &remote, &options, &steps, &mut checked) {
        Ok(built) => {
            let digest = delivered(&store, &remote, args, &built)?;
            report(global, args, &built, digest).map(|()| 0)
        }
        Err(failure) => failed(global, failure),
    }
}

/// Shows a failure; the program ends with the code of the command that failed, if one did.
fn failed(global: &Global, failure: Failure) -> Result<u8> {
    if global.quiet {
        failure.tail.split_inclusive(|&b| b == b'\n').for_each(|line| cli::say_output("", line));
    }
    if let Some(kept) = &failure.kept {
        let kept = kept.display();
        cli::say(format_args!(
            "its files are in {kept} (creel-run -it --rootfs {kept} sh; yours to remove)"
        ));
    }
    let Some(shown) = failure.shown else { return Err(failure.error) };
    let (problem, source) = *shown;
    draw(&problem, &source);
    Ok(failure.code.unwrap_or_else(|| cli::exit_code(failure.error.kind())))
}

fn options(args: &BuildArgs, input: &front::Input) -> Result<BuildOptions> {
    let result = &args.result;
    Ok(BuildOptions {
        context: input.context.clone(),
        names: result.tags.clone(),
        dialect: match result.format {
            ImageFormat::Oci => Dialect::Oci,
            ImageFormat::Docker => Dialect::Docker,
        },
        platform: input.options.platform.clone(),
        pull: match args.bases.pull {
            PullWhen::Missing => Pull::Missing,
            PullWhen::Always => Pull::Always,
            PullWhen::Never => Pull::Never,
        },
        no_cache: args.no_cache,
        jobs: args.jobs.map(usize::from),
        no_cache_filter: args.no_cache_filter.clone(),
        squash: match result.squash {
            Some(SquashWhich::New) => Some(Squash::New),
            Some(SquashWhich::All) => Some(Squash::All),
            Some(SquashWhich::False) | None => None,
        },
        explain: args.explain,
        run: None,
        exports: exports(result),
        inherit_labels: result.inherit_labels,
        omit_history: result.omit_history,
        labels: result.labels.clone(),
        annotations: result.annotations.iter().cloned().collect(),
        epoch: epoch(args, input)?,
        ..BuildOptions::default()
    })
}

/// Where the files of the result go.
fn exports(result: &ResultArgs) -> Vec<TreeExport> {
    let files = |output: &Output| match output {
        Output::Files(to) => Some(to.clone()),
        _ => None,
    };
    result.outputs.iter().filter_map(files).collect()
}

/// The time of everything: what was said, else the argument or the environment, else that of the
/// context's commit or 0 if the result is to be reproducible.
fn epoch(args: &BuildArgs, input: &front::Input) -> Result<Option<i64>> {
    if let Some(epoch) = args.result.source_date_epoch {
        return Ok(Some(epoch));
    }
    let given = input.options.build_arguments.iter().find(|(name, _)| name == front::EPOCH);
    match given {
        Some((_, text)) if !text.is_empty() => text.parse().map(Some).map_err(|_| {
            Error::usage(format!("SOURCE_DATE_EPOCH is {text:?}, which is no number of seconds"))
        }),
        _ => Ok(args.result.reproducible.then(|| input.time.unwrap_or(0))),
    }
}

/// Copies the result to where it was asked for; the digest that it has at the last such place.
fn delivered(store: &Store, remote: &Remote, args: &BuildArgs, built: &Built) -> Result<Digest> {
    let result = &args.result;
    let mut places = Vec::new();
    let mut outputs = result.outputs.clone();
    outputs.extend(result.push.then_some(Output::Registry(None)));
    outputs.extend(result.load.then_some(Output::Engine));
    let named: Vec<&Reference> = result.tags.iter().filter_map(remote::reference).collect();
    for output in outputs {
        match output {
            Output::Store | Output::Files(_) => {}
            Output::Place(place) => places.push(place),
            Output::Registry(Some(name)) => places.push(remote::registry(&name)?),
            Output::Registry(None) if named.is_empty() => {
                return Err(Error::usage("nothing says where to push: name the result with -t"));
            }
            Output::Registry(None) => {
                places.extend(named.iter().map(|name| Location::Registry((*name).clone())));
            }
            Output::Engine => {
                let name = named.first().ok_or_else(|| {
                    Error::usage("an engine needs a name for the result: give one with -t")
                })?;
                places.push(Location::DockerDaemon((*name).clone()));
            }
        }
    }
    let mut digest = built.digest.clone();
    let name = StoreName::Digest(built.digest.clone());
    for place in places {
        let compression = result.compression.map(remote::compression);
        digest = deliver(store, remote, &name, &place, compression)?;
    }
    Ok(digest)
}

/// Tells what came out, where it was asked for.
fn report(global: &Global, args: &BuildArgs, built: &Built, digest: Digest) -> Result<()> {
    let built = Built { digest, ..built.clone() };
    let write = |path: &Option<PathBuf>, text: &str| match path {
        Some(path) => std::fs::write(path, text).doing(|| format!("writing {}", path.display())),
        None => Ok(()),
    };
    write(&args.result.iidfile, &built.config_digest.to_string())?;
    write(&args.result.digestfile, &built.digest.to_string())?;
    let metadata = serde_json::json!({
        "containerimage.config.digest": built.config_digest,
        "containerimage.digest": built.digest,
        "image.name": built.names.join(","),
    });
    write(&args.result.metadata_file, &format!("{metadata:#}\n"))?;
    // Files on standard output are the result then.
    if exports(&args.result).contains(&TreeExport::Stdout) {
        return Ok(());
    }
    match global.json {
        true => render::print_json(&built),
        false => render::print(&format!("{}\n", built.digest)),
    }
}

/// Shows mistakes in full and, if wanted, warnings on a line each, on stderr; mistakes end the
/// program.
fn told(global: &Global, checked: &Checked, warnings: bool) -> Result<()> {
    let source = &checked.file.source;
    for found in &checked.found {
        if found.severity == Severity::Error {
            draw(found, source);
        } else if warnings && !global.quiet {
            cli::say(one_line(found, source));
        }
    }
    if warnings && !global.quiet {
        for name in &checked.plan.unused_arguments {
            cli::say(format_args!("warning: nothing declares --build-arg {name}"));
        }
    }
    let name = source.name();
    match checked.count(Severity::Error) {
        0 => {}
        1 => return Err(Error::invalid(format!("{name} has a mistake"))),
        count => return Err(Error::invalid(format!("{name} has {count} mistakes"))),
    }
    match &checked.violation {
        Some(violation) if warnings => Err(Error::invalid(violation.clone())),
        _ => Ok(()),
    }
}

/// Shows a mistake with its excerpt and a blank line on stderr.
fn draw(found: &Diagnostic, source: &Source) {
    let drawn = render(found, source, render::takes_color(&std::io::stderr()));
    cli::say_drawing(&format!("{drawn}\n"));
}

fn plan(checked: &Checked, json: bool) -> Result<()> {
    match json {
        true => render::print_json(&graph::to_json(&checked.plan, &checked.file.source)),
        false => render::print(&graph::to_text(&checked.plan)),
    }
}

fn targets(checked: &Checked, json: bool) -> Result<()> {
    let targets = call::targets(&checked.plan);
    if json {
        return render::print_json(&call::targets_json(&targets, &checked.file.source));
    }
    render::print(&cli::table(&["TARGET", "BASE", "DESCRIPTION"], &call::targets_rows(&targets)))
}

fn outline(checked: &Checked, json: bool) -> Result<()> {
    let outline = call::outline(&checked.plan);
    if json {
        return render::print_json(&call::outline_json(&outline, &checked.file.source));
    }
    let mut text = String::new();
    if !outline.name.is_empty() {
        text.push_str(&format!("TARGET:      {}\n", outline.name));
    }
    if let Some(description) = &outline.description {
        text.push_str(&format!("DESCRIPTION: {description}\n"));
    }
    for (head, rows) in call::outline_tables(&outline) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&cli::table(&head, &rows));
    }
    render::print(&text)
}
