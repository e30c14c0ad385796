//! The tree under construction: which directory a name means, and what stands in the way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;

use super::super::form::WhiteoutForm;
use super::super::name::{join, split};
use super::super::tar::Entry;
use super::options::UnpackOptions;
use super::report::Skipped;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::sys::{
    Dir, FileKind, Gap, Meta, Root, Time, effective_ids, file_creation_mask, read_xattr,
    remove_xattr, set_mode,
};

/// Directories that are kept open; all are closed when one more is needed.
const MAX_OPEN: usize = 64;

const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// A directory that receives entries.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) dir: Dir,
    /// Path from the root without links.
    pub(super) path: Vec<u8>,
    /// Whether new files in it get a group or access list from it, to be taken away again.
    pub(super) inherits: bool,
}

/// Why a directory is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To put something into it: it is made if missing.
    Add,
    /// To put a mark for lower layers into it: it is made if missing, unless it is hidden itself.
    Mark,
    /// To find something in it: it is never made.
    Find,
}

/// Why a directory is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It has an entry.
    Entry,
    /// Entries below it imply it.
    Implied,
    /// Only whiteouts below it imply it.
    Hollow,
    /// A lower layer's; it only keeps its time.
    Kept,
}

/// What of a lower layer's directory does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hidden {
    /// What is in it.
    Content,
    /// The directory itself, too: it was deleted and made anew.
    Whole,
}

/// What a directory shall be like in the end.
#[derive(Debug)]
pub(super) struct DirPlan {
    pub(super) origin: Origin,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) mode: u32,
    pub(super) time: Time,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

pub(super) struct Tree<'a> {
    pub(super) root: &'a Root,
    pub(super) options: &'a UnpackOptions,
    pub(super) dirs: BTreeMap<Vec<u8>, DirPlan>,
    /// Directories below which nothing of lower layers shows.
    hidden: BTreeMap<Vec<u8>, Hidden>,
    parents: HashMap<Vec<u8>, Rc<Parent>>,
    added: Added,
    /// Directories of origin `Hollow`.
    hollow: usize,
    memory: u64,
    umask: u32,
    me: (u32, u32),
    pub(super) hides_lower_layers: bool,
    pub(super) skipped_devices: Skipped,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Root, options: &'a UnpackOptions) -> Result<Tree<'a>> {
        let mut tree = Tree {
            root,
            options,
            dirs: BTreeMap::new(),
            hidden: BTreeMap::new(),
            parents: HashMap::new(),
            added: Added::default(),
            hollow: 0,
            memory: 0,
            umask: file_creation_mask(),
            me: effective_ids(),
            hides_lower_layers: false,
            skipped_devices: Skipped::default(),
        };
        if !tree.applies() {
            tree.plan_implied(b"", Origin::Implied)?;
        }
        Ok(tree)
    }

    /// Whether deletions are carried out instead of written down.
    pub(super) fn applies(&self) -> bool {
        self.options.whiteouts == WhiteoutForm::Apply
    }

    /// Whether `meta` is a deletion written down.
    pub(super) fn is_whiteout(&self, meta: &Meta) -> bool {
        self.options.whiteouts.is_whiteout(meta)
    }

    /// The directory to put an entry into.
    pub(super) fn add_parent(&mut self, path: &[u8]) -> Result<Rc<Parent>> {
        let parent = self.parent(path, Purpose::Add)?.ok_or_else(|| {
            // Only the other purposes may find nothing.
            Error::new(ErrorKind::Failed, "no directory to put the entry into")
        })?;
        if self.hollow > 0 {
            self.fill_hollow(&parent.path);
        }
        Ok(parent)
    }

    /// The directory at `path`; `None` when there is none and `purpose` does not make one.
    pub(super) fn parent(&mut self, path: &[u8], purpose: Purpose) -> Result<Option<Rc<Parent>>> {
        if let Some(known) = self.parents.get(path) {
            return Ok(Some(Rc::clone(known)));
        }
        let (dir, real_path) = match self.root.open_dir_plain(path) {
            Ok(dir) => (dir, path.to_vec()),
            Err(_) => match self.walk(path, purpose)? {
                Some(walked) => walked,
                None => return Ok(None),
            },
        };
        let inherits = self.inherits(&dir, &real_path).doing(|| "examining the directory")?;
        self.keep_time(&dir, &real_path)?;
        if self.parents.len() >= MAX_OPEN {
            self.parents.clear();
        }
        let parent = Rc::new(Parent { dir, path: real_path, inherits });
        self.parents.insert(path.to_vec(), Rc::clone(&parent));
        Ok(Some(parent))
    }

    fn walk(&mut self, path: &[u8], purpose: Purpose) -> Result<Option<(Dir, Vec<u8>)>> {
        let root = self.root;
        let mut absent = false;
        let walked = root.walk(path, &mut |gap| {
            let filled = self.fill(&gap, purpose);
            if let Ok(None) = filled {
                absent = true;
            }
            filled?.ok_or_else(|| Error::not_found("no such directory"))
        });
        match walked {
            Err(_) if absent => Ok(None),
            other => other.map(|walked| Some((walked.dir, walked.path))),
        }
    }

    /// Makes the directory that a path needs; `None` when the purpose does not want that.
    fn fill(&mut self, gap: &Gap<'_>, purpose: Purpose) -> Result<Option<Dir>> {
        let origin = match purpose {
            Purpose::Add => Origin::Implied,
            Purpose::Mark => Origin::Hollow,
            Purpose::Find => return Ok(None),
        };
        let parent_path = split(gap.path).map_or(&b""[..], |(dir, _)| dir);
        // A mark says nothing where nothing shows anyway.
        if purpose == Purpose::Mark && self.is_hidden(parent_path) {
            return Ok(None);
        }
        self.keep_time(gap.parent, parent_path)?;
        let mut opaque = false;
        if let Some(found) = &gap.found {
            // What is no directory here hides lower ones, too: a mark below it says nothing more.
            if purpose == Purpose::Mark {
                return Ok(None);
            }
            opaque = self.is_whiteout(found);
            let of_lower_layer = self.applies() && !self.added.contains(gap.path);
            if !opaque && !of_lower_layer {
                let path = gap.path.escape_ascii();
                return Err(Error::invalid(format!("\"{path}\" is not a directory in this layer")));
            }
            gap.parent.remove_file(gap.name).doing(|| "replacing a file by a directory")?;
        }
        let inherits = self.inherits(gap.parent, parent_path);
        let inherits = inherits.doing(|| "examining the directory")?;
        self.make_dir(gap.parent, gap.name, inherits)?;
        self.plan_implied(gap.path, origin)?;
        let dir = gap.parent.open_dir(gap.name).doing(|| "opening the new directory")?;
        if opaque {
            self.hide_lower(&dir, gap.path, Hidden::Whole)?;
        }
        Ok(Some(dir))
    }

    /// Makes a directory that is accessible until its plan is carried out.
    fn make_dir(&self, parent: &Dir, name: &[u8], inherits: bool) -> Result<()> {
        parent.make_dir(name, 0o700).doing(|| "making the directory")?;
        if !inherits {
            return Ok(());
        }
        let dir = parent.open_dir(name).doing(|| "opening the new directory")?;
        remove_xattr(&dir, DEFAULT_ACL)
            .and_then(|()| remove_xattr(&dir, ACCESS_ACL))
            .and_then(|()| set_mode(&dir, 0o700))
            .doing(|| "clearing what the directory inherited")
    }

    /// Puts a directory entry into place.
    pub(super) fn directory(&mut self, parent: &Parent, name: &[u8], entry: Entry) -> Result<()> {
        let path = join(&parent.path, name);
        match parent.dir.lookup(name).doing(|| "looking for the directory")? {
            Some(Meta { kind: FileKind::Directory, .. }) => self.plan(path, entry),
            None => {
                self.make_dir(&parent.dir, name, parent.inherits)?;
                self.plan(path, entry)
            }
            Some(_) => {
                self.make_room(parent, name)?;
                self.make_dir(&parent.dir, name, parent.inherits)?;
                self.plan(path.clone(), entry)?;
                // A file of that name had hidden what lower layers have there.
                let dir = parent.dir.open_dir(name).doing(|| "opening the new directory")?;
                self.hide_lower(&dir, &path, Hidden::Whole)
            }
        }
    }

    /// Takes over the metadata of the root's entry.
    pub(super) fn plan_root(&mut self, entry: Entry) -> Result<()> {
        self.plan(Vec::new(), entry)
    }

    fn plan(&mut self, path: Vec<u8>, entry: Entry) -> Result<()> {
        let plan = DirPlan {
            origin: Origin::Entry,
            owner: self.options.ownership.on_disk(entry.uid, entry.gid)?,
            mode: entry.mode,
            time: entry.mtime,
            xattrs: entry.xattrs,
        };
        self.insert(path, plan)
    }

    pub(super) fn plan_implied(&mut self, path: &[u8], origin: Origin) -> Result<()> {
        let owner = self.options.ownership.on_disk(0, 0)?;
        let plan =
            DirPlan { origin, owner, mode: 0o755, time: Time::default(), xattrs: Vec::new() };
        self.insert(path.to_vec(), plan)
    }

    /// Remembers the time of a lower layer's directory that this layer's entries would change.
    fn keep_time(&mut self, dir: &Dir, path: &[u8]) -> Result<()> {
        if !self.applies() || self.dirs.contains_key(path) {
            return Ok(());
        }
        let meta = dir.meta().doing(|| "examining the directory")?;
        let plan = DirPlan {
            origin: Origin::Kept,
            owner: None,
            mode: meta.mode,
            time: meta.mtime,
            xattrs: Vec::new(),
        };
        self.insert(path.to_vec(), plan)
    }

    fn insert(&mut self, path: Vec<u8>, plan: DirPlan) -> Result<()> {
        let xattrs = plan.xattrs.iter().map(|(name, value)| name.len() + value.len() + 48);
        self.charge(path.len() + 160 + xattrs.sum::<usize>())?;
        self.hollow += usize::from(plan.origin == Origin::Hollow);
        if let Some(old) = self.dirs.get(&path) {
            self.hollow -= usize::from(old.origin == Origin::Hollow);
        }
        self.dirs.insert(path, plan);
        Ok(())
    }

    /// Directories that only held whiteouts hold something now.
    fn fill_hollow(&mut self, path: &[u8]) {
        let mut rest = Some(path);
        while let Some(path) = rest {
            if let Some(plan) = self.dirs.get_mut(path)
                && plan.origin == Origin::Hollow
            {
                plan.origin = Origin::Implied;
                self.hollow -= 1;
            }
            rest = split(path).map(|(dir, _)| dir);
        }
    }

    /// Removes whatever has the name, with all below it.
    pub(super) fn make_room(&mut self, parent: &Parent, name: &[u8]) -> Result<()> {
        parent.dir.remove_tree(name).doing(|| "replacing what had this name")?;
        self.forget(&join(&parent.path, name));
        Ok(())
    }

    /// Forgets directories at and below a path that was removed.
    pub(super) fn forget(&mut self, path: &[u8]) {
        // Links may lead from other names into what was removed.
        self.parents.clear();
        let below = [path, b"/"].concat();
        let after = [path, b"0"].concat();
        let inside = self.dirs.range(below.clone()..after.clone()).map(|(path, _)| path.clone());
        for path in inside.chain([path.to_vec()]).collect::<Vec<_>>() {
            if let Some(old) = self.dirs.remove(&path) {
                self.hollow -= usize::from(old.origin == Origin::Hollow);
            }
        }
        let inside = self.hidden.range(below..after).map(|(path, _)| path.clone());
        for path in inside.chain([path.to_vec()]).collect::<Vec<_>>() {
            self.hidden.remove(&path);
        }
    }

    /// Remembers what of a lower directory does not show; tells whether its content did before.
    pub(super) fn note_hidden(&mut self, path: &[u8], what: Hidden) -> Result<bool> {
        let new = !self.is_hidden(path);
        if new || what == Hidden::Whole {
            self.charge(path.len() + 64)?;
            self.hidden.insert(path.to_vec(), what);
        }
        Ok(new)
    }

    /// Whether a directory of a lower layer would show its metadata at a path.
    pub(super) fn shows_lower(&self, path: &[u8]) -> bool {
        let whole = self.hidden.get(path) == Some(&Hidden::Whole);
        !whole && split(path).is_none_or(|(parent, _)| !self.is_hidden(parent))
    }

    /// Whether nothing of lower layers shows at or below a path.
    pub(super) fn is_hidden(&self, path: &[u8]) -> bool {
        let mut rest = Some(path).filter(|_| !self.hidden.is_empty());
        while let Some(path) = rest {
            if self.hidden.contains_key(path) {
                return true;
            }
            rest = split(path).map(|(dir, _)| dir);
        }
        false
    }

    /// Remembers what this layer put into a tree that has more.
    pub(super) fn note_added(&mut self, path: &[u8]) -> Result<()> {
        if self.applies() {
            let new = self.added.insert(path);
            self.charge(new * 40)?;
        }
        Ok(())
    }

    /// Whether this layer put something at or below the path.
    pub(super) fn has_added(&self, path: &[u8]) -> bool {
        self.added.contains(path)
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.memory += bytes as u64;
        let limit = self.options.limits.memory;
        if self.memory > limit {
            let what =
                format!("the layer needs more than {limit} bytes to keep its names, the limit");
            return Err(Error::invalid(what));
        }
        Ok(())
    }

    fn inherits(&self, dir: &Dir, path: &[u8]) -> io::Result<bool> {
        // Directories of a layer of its own were made here, without anything to pass on.
        if !self.applies() && !path.is_empty() {
            return Ok(false);
        }
        let set_group = dir.meta()?.mode & 0o2000 != 0;
        Ok(set_group || read_xattr(dir, DEFAULT_ACL)?.is_some())
    }

    /// The owner to be set on a new file; `None` when it was made with the right one.
    pub(super) fn owner_to_set(
        &self,
        parent: &Parent,
        entry: &Entry,
    ) -> Result<Option<(u32, u32)>> {
        let owner = self.options.ownership.on_disk(entry.uid, entry.gid)?;
        Ok(owner.filter(|owner| parent.inherits || *owner != self.me))
    }

    /// The mode to be set on a new file; `None` when it was made with the right one.
    pub(super) fn mode_to_set(&self, parent: &Parent, entry: &Entry) -> Option<u32> {
        let as_made = !parent.inherits && entry.mode & (self.umask | 0o7000) == 0;
        if as_made && entry.xattrs.is_empty() { None } else { Some(entry.mode) }
    }
}

/// Paths that a layer added, with all directories above them, as hashes that nobody outside can
/// aim at.
#[derive(Default)]
struct Added {
    keys: (RandomState, RandomState),
    paths: HashSet<(u64, u64)>,
}

impl Added {
    /// Returns how many paths are new.
    fn insert(&mut self, path: &[u8]) -> usize {
        let mut new = 0;
        let mut rest = Some(path);
        while let Some(path) = rest {
            if !self.paths.insert(self.hash(path)) {
                break;
            }
            new += 1;
            rest = split(path).map(|(dir, _)| dir);
        }
        new
    }

    fn contains(&self, path: &[u8]) -> bool {
        self.paths.contains(&self.hash(path))
    }

    fn hash(&self, path: &[u8]) -> (u64, u64) {
        (self.keys.0.hash_one(path), self.keys.1.hash_one(path))
    }
}
