//! The rows about building: the same Dockerfile and context, by both programs.

use std::fs;
use std::path::PathBuf;

use crate::Result;
use crate::bench::Bench;
use crate::content::Random;
use crate::contest::Contest;
use crate::measure::{CommandLine, run};
use crate::rows::Measured;

/// What is built.
struct Build {
    context: PathBuf,
    /// Flags of both programs.
    flags: &'static [&'static str],
    rounds: usize,
}

const COLD: &[&str] = &["--no-cache"];

/// Six steps, none of which has to be made.
pub(crate) fn cached(bench: &Bench) -> Result<Measured> {
    let context = six_steps(bench)?;
    Build { context, flags: &[], rounds: 21 }.measure(bench, true)
}

/// The same six, all of which have to be made.
pub(crate) fn cold(bench: &Bench) -> Result<Measured> {
    let context = six_steps(bench)?;
    Build { context, flags: COLD, rounds: 5 }.measure(bench, false)
}

/// Twenty steps, none of which has to be made.
pub(crate) fn twenty_cached(bench: &Bench) -> Result<Measured> {
    base(bench)?;
    let context = bench.work().join("twenty-steps");
    fs::create_dir_all(&context)?;
    let steps = (0..19).map(|step| format!("RUN echo {step} > /{step}\n"));
    let file = format!("FROM localhost/bench-base\n{}", steps.collect::<String>());
    fs::write(context.join("Dockerfile"), file)?;
    Build { context, flags: &[], rounds: 11 }.measure(bench, true)
}

/// Eight stages that do not need each other, and a last one that takes a file of each.
pub(crate) fn stages(bench: &Bench) -> Result<Measured> {
    base(bench)?;
    let context = bench.work().join("stages");
    fs::create_dir_all(&context)?;
    let work = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
    let stage =
        |n: usize| format!("FROM localhost/bench-base AS s{n}\nRUN {work}; echo {n} > /f\n");
    let take = |n: usize| format!("COPY --from=s{n} /f /{n}\n");
    let mut file: String = (0..8).map(stage).collect();
    file.push_str("FROM localhost/bench-base\n");
    file.extend((0..8).map(take));
    fs::write(context.join("Dockerfile"), file)?;
    Build { context, flags: COLD, rounds: 3 }.measure(bench, false)
}

/// One file of 626 MB.
pub(crate) fn one_file(bench: &Bench) -> Result<Measured> {
    one_file_of(bench, 626_000_000)
}

/// One file of a gigabyte.
pub(crate) fn gigabyte(bench: &Bench) -> Result<Measured> {
    one_file_of(bench, 1_000_000_000)
}

fn one_file_of(bench: &Bench, size: usize) -> Result<Measured> {
    let context = bench.work().join("one-file");
    fs::create_dir_all(&context)?;
    let mut file = fs::File::create(context.join("file"))?;
    noise(&mut file, size)?;
    fs::write(context.join("Dockerfile"), "FROM localhost/bench-base\nCOPY file /file\n")?;
    base(bench)?;
    Build { context, flags: COLD, rounds: 3 }.measure(bench, false)
}

/// 20,000 small files, which have to be copied.
pub(crate) fn small_files(bench: &Bench) -> Result<Measured> {
    let context = many_files(bench, 200)?;
    Build { context, flags: COLD, rounds: 3 }.measure(bench, false)
}

/// 20,000 small files, none of which has changed.
pub(crate) fn small_files_unchanged(bench: &Bench) -> Result<Measured> {
    let context = many_files(bench, 200)?;
    Build { context, flags: &[], rounds: 7 }.measure(bench, true)
}

/// 100,000 small files, which have to be copied.
pub(crate) fn very_many_files(bench: &Bench) -> Result<Measured> {
    let context = many_files(bench, 1000)?;
    Build { context, flags: COLD, rounds: 1 }.measure(bench, false)
}

impl Build {
    /// Lets both build. With `warm`, once before it counts, so that everything is in the cache.
    fn measure(&self, bench: &Bench, warm: bool) -> Result<Measured> {
        let context = self.context.display().to_string();
        let mut peer = bench.buildah(["bud", "-q", "--layers", "-t", "localhost/bench-result"]);
        let mut ours = bench.creel_build(["-q", "-t", "localhost/bench-result"]);
        for command in [&mut peer, &mut ours] {
            command.extend(self.flags.iter().map(Into::into));
            command.push(context.clone().into());
        }
        if warm {
            for command in [&peer, &ours] {
                run(command, bench.work())?;
            }
        }
        let contest =
            Contest { peer: vec![peer], ours: vec![ours], rounds: bench.rounds(self.rounds) };
        let check = |_, printed: &str| {
            let hex = printed.trim().trim_start_matches("sha256:");
            match hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                true => Ok(()),
                false => Err(format!("printed {printed:?}").into()),
            }
        };
        let samples = contest.hold(bench, || Ok(()), check)?;
        run(&bench.buildah(["rmi", "--all", "--force"]), bench.work())?;
        fs::remove_dir_all(&self.context)?;
        Ok(Measured::of(samples))
    }
}

/// A base with a shell, in both stores.
fn base(bench: &Bench) -> Result<()> {
    let context = bench.work().join("base");
    fs::create_dir_all(&context)?;
    fs::copy("/bin/busybox", context.join("busybox"))?;
    let file = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nENV PATH=/bin\n";
    fs::write(context.join("Dockerfile"), file)?;
    let build = |mut command: CommandLine| {
        command.extend(["-q", "-t", "localhost/bench-base"].map(Into::into));
        command.push(context.clone().into());
        run(&command, bench.work()).map(drop)
    };
    build(bench.buildah(["bud"]))?;
    build(bench.creel_build::<&str>([]))?;
    fs::remove_dir_all(&context)?;
    Ok(())
}

fn six_steps(bench: &Bench) -> Result<PathBuf> {
    base(bench)?;
    let context = bench.work().join("six-steps");
    fs::create_dir_all(context.join("src"))?;
    for number in 0..20 {
        fs::write(context.join(format!("src/{number}")), format!("file {number}\n"))?;
    }
    let file = "FROM localhost/bench-base\nENV A=1\nCOPY src /src\n\
                RUN busybox cat /src/* > /all\nWORKDIR /work\nRUN busybox sort /all > sorted\n\
                CMD [\"/bin/sh\"]\n";
    fs::write(context.join("Dockerfile"), file)?;
    Ok(context)
}

/// A context with so many folders of a hundred files.
fn many_files(bench: &Bench, folders: usize) -> Result<PathBuf> {
    base(bench)?;
    let context = bench.work().join("many-small");
    for folder in 0..folders {
        let path = context.join(format!("files/{folder}"));
        fs::create_dir_all(&path)?;
        for number in 0..100 {
            let text = format!("{folder} {number}\n").repeat(40);
            fs::write(path.join(number.to_string()), text)?;
        }
    }
    fs::write(context.join("Dockerfile"), "FROM localhost/bench-base\nCOPY files /files\n")?;
    Ok(context)
}

fn noise(to: &mut impl std::io::Write, mut left: usize) -> Result<()> {
    let mut random = Random::new(11);
    let mut buffer = vec![0; 1 << 20];
    while left > 0 {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&random.next().to_le_bytes()[..chunk.len()]);
        }
        let count = left.min(buffer.len());
        to.write_all(&buffer[..count])?;
        left -= count;
    }
    Ok(())
}
