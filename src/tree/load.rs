//! From the contents of a snapshot file to a tree.
//!
//! Upstream counterpart: `DataTree.deserialize`.

use super::{
    Tree, TreeOptions, acl,
    change::{Misplaced, copy_stat},
    slab::ROOT,
};
use crate::types::{AclList, StatPersisted, Zxid};
use std::collections::HashMap;
use thiserror::Error;

/// ACL numbers above this are taken for damage, so that there are always numbers left.
const ACL_INDEX_MAX: i64 = 1 << 62;

/// Why the contents of a snapshot are no tree.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum LoadError {
    #[error("znode {path:?} comes before its parent; the snapshot is damaged")]
    NoParent { path: String },
    #[error("{path:?} is no path of a znode; the snapshot is damaged")]
    BadPath { path: String },
    #[error("znode {path:?} is there twice; the snapshot is damaged")]
    Duplicate { path: String },
    #[error("the root has the owner {owner:#x}; the snapshot is damaged")]
    RootOwned { owner: i64 },
    #[error("{index} is no number of an ACL; the snapshot is damaged")]
    BadAclIndex { index: i64 },
    #[error("more than {max} znodes, which is the most that this server can hold")]
    TooMany { max: u32 },
}

/// A tree in the making: first all ACLs, then all znodes, parents before children.
pub struct TreeLoader {
    tree: Tree,
    acls: HashMap<i64, u32>,
    /// The znode before: the next one is most often below it or one of its parents.
    last: u32,
    last_path: String,
}

impl Tree {
    /// A loader.
    pub fn loader(options: TreeOptions) -> TreeLoader {
        TreeLoader { tree: Tree::bare(options), acls: HashMap::new(), last: ROOT, last_path: String::new() }
    }
}

impl TreeLoader {
    /// An entry of the ACL table.
    ///
    /// # Errors
    /// [`LoadError::BadAclIndex`].
    pub fn acl(&mut self, index: i64, list: &AclList) -> Result<(), LoadError> {
        if index == acl::OPEN_INDEX {
            return Ok(());
        }
        if !(1..=ACL_INDEX_MAX).contains(&index) {
            return Err(LoadError::BadAclIndex { index });
        }
        let slot = self.tree.acls.load(index, list);
        self.acls.insert(index, slot);
        Ok(())
    }

    /// A znode. The root's path is "".
    ///
    /// A number that no ACL has is kept as unknown, see [`Tree::unknown_acls`]: in a snapshot that upstream wrote under
    /// load the log may yet say which list it is.
    ///
    /// # Errors
    /// When the znode has no place in the tree.
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_index: i64,
        stat: &StatPersisted,
    ) -> Result<(), LoadError> {
        let acl = self.acl_slot(acl_index)?;
        if path.is_empty() {
            return self.root(data, acl, stat);
        }
        let misplaced = |why| match why {
            Misplaced::BadPath => LoadError::BadPath { path: path.into() },
            Misplaced::NoParent => LoadError::NoParent { path: path.into() },
        };
        let (parent, name) = match self.below_last(path) {
            Some(place) => place,
            None => self.tree.place_of(path).map_err(misplaced)?,
        };
        if self.tree.find(path).is_some() {
            return Err(LoadError::Duplicate { path: path.into() });
        }
        if !self.tree.has_place() {
            return Err(LoadError::TooMany { max: self.tree.node_count_max });
        }
        self.tree.acls.add_use(acl);
        self.last = self.tree.add_node(parent, path, name, data, acl, stat);
        self.last_path.clear();
        self.last_path.push_str(path);
        Ok(())
    }

    fn root(&mut self, data: Option<&[u8]>, acl: u32, stat: &StatPersisted) -> Result<(), LoadError> {
        if stat.ephemeral_owner != 0 {
            return Err(LoadError::RootOwned { owner: stat.ephemeral_owner });
        }
        self.tree.acls.add_use(acl);
        self.tree.put_acl(ROOT, acl);
        self.tree.put_data(ROOT, data);
        copy_stat(self.tree.slab.at_mut(ROOT), stat);
        self.tree.refresh_digest(ROOT, "");
        Ok(())
    }

    /// The place of a path whose parent is the last znode or above it.
    fn below_last<'p>(&self, path: &'p str) -> Option<(u32, &'p str)> {
        let at = path.rfind('/')?;
        let parent_path = &path[..at];
        if !self.last_path.starts_with(parent_path) {
            return None;
        }
        let mut id = self.last;
        let mut len = self.last_path.len();
        while len > at {
            let slot = self.tree.slab.at(id);
            len -= slot.name_len() + 1;
            id = slot.parent;
        }
        let name = &path[at + 1..];
        (len == at && !name.is_empty() && name.len() <= super::slab::NAME_LEN_MAX).then_some((id, name))
    }

    fn acl_slot(&mut self, index: i64) -> Result<u32, LoadError> {
        if index == acl::OPEN_INDEX {
            return Ok(acl::OPEN);
        }
        if let Some(&slot) = self.acls.get(&index) {
            return Ok(slot);
        }
        if index > ACL_INDEX_MAX {
            return Err(LoadError::BadAclIndex { index });
        }
        let slot = self.tree.acls.load_unknown(index);
        self.acls.insert(index, slot);
        Ok(slot)
    }

    /// Number of znodes so far.
    pub fn node_count(&self) -> usize {
        self.tree.node_count()
    }

    /// The tree: unused ACLs dropped, quotas counted. A snapshot of a server before 3.5 has no `/zookeeper/config`, and
    /// a standalone server does not add it; [`Tree::set_config`] does.
    pub fn finish(mut self, last_zxid: Zxid) -> Tree {
        self.tree.quota_setup();
        self.tree.acls.purge_unused();
        self.tree.last_zxid = last_zxid;
        self.tree
    }
}
