//! Carries a plan out: blobs in parallel, then manifests from the leaves to the root, then names.

use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::attached;
use super::convert::{self, Changes};
use super::options::{CopyOptions, CopyReport, LayerCompression, Tally};
use super::plan::{Leaf, Node, Plan};
use super::remembered::Became;
use super::session::Session;
use crate::blob::{Blob, Budget, Encoding, Expectation, Recompressor};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::{Event, Task};
use crate::spec::{Descriptor, Digest, Manifest, MediaType};
use crate::sys;
use crate::transport::{Item, ItemKind, Origin, Presence, Sink, Source};

/// One copy under way.
pub(super) struct Run<S, D> {
    pub(super) source: Arc<S>,
    pub(super) sink: Arc<D>,
    pub(super) options: Arc<CopyOptions>,
    pub(super) session: Session,
    /// Names the destination among all destinations of the job.
    pub(super) destination: String,
}

impl<S, D> Clone for Run<S, D> {
    fn clone(&self) -> Run<S, D> {
        Run {
            source: self.source.clone(),
            sink: self.sink.clone(),
            options: self.options.clone(),
            session: self.session.clone(),
            destination: self.destination.clone(),
        }
    }
}

/// How a blob got to its destination.
enum Arrival {
    Moved,
    Mounted,
    Skipped,
}

/// What became of one blob.
struct Arrived {
    /// As the source names it.
    digest: Digest,
    /// As it is at the destination.
    descriptor: Descriptor,
    how: Arrival,
}

impl<S: Source + 'static, D: Sink + 'static> Run<S, D> {
    /// Does what the plan says and publishes the root.
    pub(super) async fn carry_out(&self, plan: Plan) -> Result<CopyReport> {
        let started = Instant::now();
        let mut report = CopyReport::starting(&plan);
        if plan.unchanged.is_some() {
            return Ok(report);
        }
        if let Some(root) = self.there_already(&plan).await? {
            self.name_further(&root, &mut report).await?;
            report.digest = root.digest().clone();
            report.media_type = root.media_type().clone();
            report.unchanged = report.additional_tags.is_empty();
            report.seconds = started.elapsed().as_secs_f64();
            return Ok(report);
        }
        let changes = self.move_leaves(plan.leaves.clone(), &mut report).await?;
        let root = match self.write_and_name(&plan, changes.clone(), &mut report).await {
            Err(error) if self.bring_back(&plan.leaves, &changes, &error).await? => {
                self.write_and_name(&plan, changes, &mut report).await?
            }
            other => other?,
        };
        if self.options.with_referrers {
            self.bring_referrers(&plan.nodes, plan.complete, &root, &mut report).await?;
        }
        report.digest = root.digest().clone();
        report.media_type = root.media_type().clone();
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Writes all manifests, and gives the root its names.
    async fn write_and_name(
        &self,
        plan: &Plan,
        changes: Changes,
        report: &mut CopyReport,
    ) -> Result<Manifest> {
        (report.manifests, report.additional_tags) = (0, Vec::new());
        let root = self.write_manifests(&plan.nodes, changes, report).await?;
        let there = plan.current.as_ref().is_some_and(|current| current.digest == *root.digest());
        if there && report.moved.blobs == 0 && report.manifests == 0 {
            report.unchanged = true;
        } else {
            self.sink.publish(None, &root).await?;
            report.manifests += 1;
        }
        self.name_further(&root, report).await?;
        Ok(root)
    }

    async fn name_further(&self, root: &Manifest, report: &mut CopyReport) -> Result<()> {
        for tag in &self.options.additional_tags {
            self.sink.publish(Some(tag), root).await?;
            report.additional_tags.push(tag.clone());
        }
        Ok(())
    }

    /// Sends once more what the destination took and then lost, if it refused a manifest for that;
    /// tells whether there was anything.
    async fn bring_back(
        &self,
        leaves: &[Leaf],
        changes: &Changes,
        refusal: &Error,
    ) -> Result<bool> {
        if !matches!(refusal.kind(), ErrorKind::NotFound | ErrorKind::Invalid) {
            return Ok(false);
        }
        let there = |leaf: &Leaf| match changes.layers.get(&leaf.descriptor.digest) {
            Some((digest, size)) => {
                Descriptor { digest: digest.clone(), size: *size, ..leaf.descriptor.clone() }
            }
            None => leaf.descriptor.clone(),
        };
        let mut lost = false;
        for leaf in leaves {
            let there = there(leaf);
            // What cannot be asked about was not what the refusal was for.
            if self.sink.holds(&there).await.unwrap_or(true) {
                continue;
            }
            let digest = &there.digest;
            let text = format!("the destination took {digest} and lost it: it is sent again");
            self.session.listener.event(Event::Warning(text));
            let leaf = Leaf { present: false, ..leaf.clone() };
            let sending = || format!("{} {digest}", leaf.what());
            self.transfer(&leaf).await.map_err(|error| error.while_doing(sending()))?;
            lost = true;
        }
        Ok(lost)
    }

    /// The result, if the destination's name points to it before anything has moved.
    async fn there_already(&self, plan: &Plan) -> Result<Option<Manifest>> {
        let root = self.foretell(plan)?;
        let sparse = plan.nodes.iter().any(|node| node.wanted.is_some() && !node.strip);
        if sparse || self.options.with_referrers {
            return Ok(None);
        }
        let (Some(root), Some(current)) = (root, &plan.current) else { return Ok(None) };
        let same = root.digest() == &current.digest;
        let whole = same && self.sink.presence(&root.descriptor()).await? == Presence::Complete;
        Ok(whole.then_some(root))
    }

    /// The root as it will be, where that can be known: what layers become when they are
    /// compressed anew must be remembered.
    ///
    /// # Errors
    /// What the options ask for cannot be: better said before anything moves.
    fn foretell(&self, plan: &Plan) -> Result<Option<Manifest>> {
        let mut changes = Changes::default();
        for leaf in plan.leaves.iter().filter(|leaf| leaf.convert) {
            if self.options.preserve_digests {
                return Err(preserved(format!("layer {}", leaf.descriptor.digest)));
            }
            let how = self.options.compression;
            let digest = &leaf.descriptor.digest;
            let known = how.and_then(|how| self.session.remembered.find(digest, how));
            let Some(known) = known else { return Ok(None) };
            let became = (known.descriptor.digest, known.descriptor.size);
            changes.layers.insert(digest.clone(), became);
        }
        let Some((root, below)) = plan.nodes.split_last() else { return Ok(None) };
        for node in below {
            let manifest = self.edited(node, &changes)?;
            changes.manifests.insert(node.manifest.digest().clone(), manifest);
        }
        self.edited(root, &changes).map(Some)
    }

    /// What refers to the manifests that were copied comes along, unless their bytes changed: then
    /// it speaks of something that is not there.
    async fn bring_referrers(
        &self,
        nodes: &[Node],
        complete: Vec<Descriptor>,
        root: &Manifest,
        report: &mut CopyReport,
    ) -> Result<()> {
        let unchanged = nodes.last().is_some_and(|node| node.manifest.digest() == root.digest());
        let rewritten =
            convert::dialect(&self.options).is_some() || self.options.compression.is_some();
        if !unchanged {
            self.session.listener.event(Event::Warning(format!(
                "{} changed on the way: what refers to it stays behind",
                report.source_digest
            )));
        }
        let mut subjects: Vec<Descriptor> = Vec::new();
        if !rewritten {
            let below = nodes.len().saturating_sub(1);
            let taken = if unchanged { nodes.len() } else { below };
            subjects.extend(nodes[..taken].iter().map(|node| node.manifest.descriptor()));
            subjects.extend(complete);
        } else if unchanged {
            subjects.push(root.descriptor());
        }
        attached::bring(self, subjects, report).await
    }

    /// Moves all blobs; the result says which of them changed.
    pub(super) async fn move_leaves(
        &self,
        leaves: Vec<Leaf>,
        report: &mut CopyReport,
    ) -> Result<Changes> {
        let mut transfers = JoinSet::new();
        for leaf in leaves {
            let run = self.clone();
            transfers.spawn(async move { run.bring(leaf).await });
        }
        let mut changes = Changes::default();
        while let Some(joined) = transfers.join_next().await {
            let arrived = match joined {
                Ok(Ok(arrived)) => arrived,
                failed => {
                    // Nothing of this copy may still be writing when the failure is reported.
                    transfers.shutdown().await;
                    return Err(match failed {
                        Ok(Err(error)) => error,
                        Err(error) => Error::caused(ErrorKind::Failed, "a transfer stopped", error),
                        Ok(Ok(_)) => continue,
                    });
                }
            };
            let tally = match arrived.how {
                Arrival::Moved => &mut report.moved,
                Arrival::Mounted => &mut report.mounted,
                Arrival::Skipped => &mut report.skipped,
            };
            tally.add(arrived.descriptor.size);
            if arrived.digest != arrived.descriptor.digest {
                let became = (arrived.descriptor.digest, arrived.descriptor.size);
                changes.layers.insert(arrived.digest, became);
            }
        }
        Ok(changes)
    }

    /// Brings one blob to the destination, or finds that another copy of this job has.
    async fn bring(&self, leaf: Leaf) -> Result<Arrived> {
        let digest = leaf.descriptor.digest.clone();
        let mut how = Arrival::Skipped;
        let cell = self.session.claim(&self.destination, &digest);
        let descriptor = cell
            .get_or_try_init(|| async {
                let _pass = self.session.gate.pass(leaf.descriptor.size).await;
                let (descriptor, arrival) = self
                    .transfer(&leaf)
                    .await
                    .map_err(|error| error.while_doing(format!("{} {digest}", leaf.what())))?;
                how = arrival;
                Ok::<_, Error>(descriptor)
            })
            .await?
            .clone();
        Ok(Arrived { digest, descriptor, how })
    }

    async fn transfer(&self, leaf: &Leaf) -> Result<(Descriptor, Arrival)> {
        if leaf.present {
            self.skipped(leaf, "exists");
            return Ok((leaf.descriptor.clone(), Arrival::Skipped));
        }
        if let (true, Some(how)) = (leaf.convert, self.options.compression) {
            return self.convert(leaf, how).await;
        }
        if self.sink.link(&leaf.descriptor, &self.source.origin()).await? {
            self.skipped(leaf, "mounted");
            return Ok((leaf.descriptor.clone(), Arrival::Mounted));
        }
        let task = self.task(leaf, Some(leaf.descriptor.size));
        let item = Item { kind: leaf.kind.clone(), descriptor: Some(leaf.descriptor.clone()) };
        let outcome = match self.put(leaf, item.clone(), &task).await {
            // Wrong bytes may be a passing fault of a cache on the way: one more try, from zero.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                task.retrying(error.chain());
                self.put(leaf, item, &task).await
            }
            other => other,
        };
        outcome?;
        task.done();
        Ok((leaf.descriptor.clone(), Arrival::Moved))
    }

    async fn put(&self, leaf: &Leaf, item: Item, task: &Arc<Task>) -> Result<Descriptor> {
        let content = match &leaf.content {
            Some(bytes) => Blob::Bytes(bytes.clone()),
            None => self.source.open(&leaf.descriptor).await?,
        };
        let meter = task.clone();
        self.sink.put(item, content.metered(Arc::new(move |bytes| meter.advance(bytes)))).await
    }

    /// Compresses a layer anew on its way, unless the result is known to be there.
    async fn convert(&self, leaf: &Leaf, how: LayerCompression) -> Result<(Descriptor, Arrival)> {
        let digest = &leaf.descriptor.digest;
        if let Some(known) = self.session.remembered.find(digest, how) {
            // One question is nothing beside the work that it may save.
            let there = self.sink.link(&known.descriptor, &Origin::Elsewhere).await?
                || self.sink.holds(&known.descriptor).await.unwrap_or(false);
            if there {
                self.skipped(leaf, "exists");
                return Ok((known.descriptor, Arrival::Skipped));
            }
        }
        let task = self.task(leaf, Some(leaf.descriptor.size));
        let meter = task.clone();
        let content = self
            .source
            .open(&leaf.descriptor)
            .await?
            .metered(Arc::new(move |bytes| meter.advance(bytes)));
        let expected = match &leaf.kind {
            ItemKind::Layer(diff_id) => diff_id.clone(),
            _ => None,
        };
        let recompressor = Recompressor::new(
            content.into_reader().await?,
            Encoding { compression: how.compression, level: how.level },
            sys::available_cores(),
            Expectation {
                diff_id: expected,
                verified: Some(digest.clone()),
                budget: Budget::default(),
            },
        )?;
        let outcome = recompressor.outcome();
        let item = Item { kind: leaf.kind.clone(), descriptor: None };
        let put = self.sink.put(item, Blob::Unnamed(Box::new(recompressor))).await?;
        let diff_id = outcome.get().map(|outcome| outcome.diff_id.clone()).ok_or_else(|| {
            Error::new(ErrorKind::Failed, "the destination did not read the layer to its end")
        })?;
        let became = Became { descriptor: put, diff_id };
        self.session.remembered.record(digest, how, &became);
        task.done();
        Ok((became.descriptor, Arrival::Moved))
    }

    /// Writes the manifests below the root; returns the root as it is to be published.
    pub(super) async fn write_manifests(
        &self,
        nodes: &[Node],
        mut changes: Changes,
        report: &mut CopyReport,
    ) -> Result<Manifest> {
        let Some((root, below)) = nodes.split_last() else {
            return Err(Error::new(ErrorKind::Failed, "a plan without manifests"));
        };
        for node in below {
            let manifest = self.edited(node, &changes)?;
            let descriptor = manifest.descriptor();
            let item = Item { kind: ItemKind::Manifest, descriptor: Some(descriptor.clone()) };
            self.sink
                .put(item, Blob::Bytes(manifest.raw().clone()))
                .await
                .map_err(|error| error.while_doing(format!("manifest {}", descriptor.digest)))?;
            report.manifests += 1;
            changes.manifests.insert(node.manifest.digest().clone(), manifest);
        }
        self.edited(root, &changes)
    }

    /// The manifest with everything changed that the options and its children demand.
    fn edited(&self, node: &Node, changes: &Changes) -> Result<Manifest> {
        let edited = convert::manifest(node, changes, &self.options)?;
        if self.options.preserve_digests && edited.digest() != node.manifest.digest() {
            return Err(preserved(format!("manifest {}", node.manifest.digest())));
        }
        Ok(edited)
    }

    fn task(&self, leaf: &Leaf, total: Option<u64>) -> Arc<Task> {
        Arc::new(Task::start(
            &self.session.listener,
            leaf.what(),
            Some(&leaf.descriptor.digest),
            total,
        ))
    }

    fn skipped(&self, leaf: &Leaf, why: &'static str) {
        self.session.listener.event(Event::Skipped {
            what: leaf.what(),
            digest: leaf.descriptor.digest.clone(),
            bytes: leaf.descriptor.size,
            why,
        });
    }
}

fn preserved(what: String) -> Error {
    Error::usage(format!("{what} would have to change, which --preserve-digests forbids"))
}

impl CopyReport {
    fn starting(plan: &Plan) -> CopyReport {
        let (digest, media_type) = match &plan.unchanged {
            Some(root) => (root.digest.clone(), root.media_type.clone()),
            None => (plan.source_digest.clone(), MediaType::Other(String::new())),
        };
        CopyReport {
            digest,
            source_digest: plan.source_digest.clone(),
            media_type,
            additional_tags: Vec::new(),
            moved: Tally::default(),
            skipped: Tally::default(),
            mounted: Tally::default(),
            manifests: 0,
            referrers: 0,
            unchanged: plan.unchanged.is_some(),
            seconds: 0.0,
        }
    }
}
