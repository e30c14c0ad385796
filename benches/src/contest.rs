//! Two programs doing the same work in turn.

use crate::Result;
use crate::bench::Bench;
use crate::measure::{CommandLine, Sample, run};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The program from Debian.
    Peer,
    /// The program from here.
    Ours,
}

/// What both cost.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) peer: Vec<Sample>,
    pub(crate) ours: Vec<Sample>,
}

/// The same work in both programs' words; several commands count as one piece of work.
pub(crate) struct Contest {
    pub(crate) peer: Vec<CommandLine>,
    pub(crate) ours: Vec<CommandLine>,
    /// How often each does it; one more time before that, to warm up, does not count.
    pub(crate) rounds: usize,
}

impl Contest {
    /// Lets both work in turn. Before each, `clear` takes away what the one before has left;
    /// after each, `check` sees what was printed and looks whether the result is there and right.
    pub(crate) fn hold(
        &self,
        bench: &Bench,
        mut clear: impl FnMut() -> Result<()>,
        mut check: impl FnMut(Who, &str) -> Result<()>,
    ) -> Result<Samples> {
        let mut samples = Samples::default();
        for round in 0..=self.rounds {
            for who in [Who::Peer, Who::Ours] {
                clear()?;
                // Nobody pays for what the one before has left to the disk.
                std::process::Command::new("sync").status()?;
                let (sample, printed) = self.once(bench, who)?;
                check(who, &printed).map_err(|error| format!("{who:?}: wrong result: {error}"))?;
                if round > 0 {
                    match who {
                        Who::Peer => samples.peer.push(sample),
                        Who::Ours => samples.ours.push(sample),
                    }
                }
            }
        }
        Ok(samples)
    }

    fn once(&self, bench: &Bench, who: Who) -> Result<(Sample, String)> {
        let commands = if who == Who::Peer { &self.peer } else { &self.ours };
        let mut sum = Sample { seconds: 0.0, peak: 0 };
        let mut all = String::new();
        for command in commands {
            let (sample, printed) = run(command, bench.work())?;
            sum.seconds += sample.seconds;
            sum.peak = sum.peak.max(sample.peak);
            all.push_str(&printed);
        }
        Ok((sum, all))
    }
}
