//! What a change means to those who watch.

use crate::types::AclList;

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum EffectKind {
    Created,
    Deleted,
    DataChanged,
}

/// One change of one znode.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// What happened.
    pub kind: EffectKind,
    /// The znode's path as the txn gave it.
    pub path: &'a str,
    /// The znode's ACL; of a deleted one, its last.
    pub acl: &'a AclList,
    /// The parent's ACL, when the parent's children changed.
    pub parent_acl: Option<&'a AclList>,
}

struct Item {
    kind: EffectKind,
    /// Where the path ends in `text`; it begins where the one before ends.
    end: usize,
    acl: AclList,
    parent_acl: Option<AclList>,
}

/// More changes than this give their memory back.
const ITEMS_KEPT_MAX: usize = 10_000;

/// The changes of one or more txns, in order. Kept by the caller and used again: no allocation per change.
pub struct Effects {
    enabled: bool,
    text: String,
    items: Vec<Item>,
}

impl Effects {
    /// A recorder.
    pub fn new() -> Self {
        Self { enabled: true, text: String::new(), items: Vec::new() }
    }

    /// One that records nothing: for replay, and while nobody watches.
    pub fn disabled() -> Self {
        Self { enabled: false, text: String::new(), items: Vec::new() }
    }

    /// Switches recording on or off, for the changes to come.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Forgets what was recorded.
    pub fn clear(&mut self) {
        if self.items.len() > ITEMS_KEPT_MAX {
            (self.text, self.items) = (String::new(), Vec::new());
        }
        self.text.clear();
        self.items.clear();
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What was recorded, in order.
    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {
        let mut start = 0;
        self.items.iter().map(move |i| {
            let path = &self.text[start..i.end];
            start = i.end;
            Effect { kind: i.kind, path, acl: &i.acl, parent_acl: i.parent_acl.as_ref() }
        })
    }

    pub(super) fn push(&mut self, kind: EffectKind, path: &str, acl: &AclList, parent_acl: Option<&AclList>) {
        if self.enabled {
            self.text.push_str(path);
            self.items.push(Item {
                kind,
                end: self.text.len(),
                acl: acl.clone(),
                parent_acl: parent_acl.cloned(),
            });
        }
    }

    pub(super) fn enabled(&self) -> bool {
        self.enabled
    }
}

impl Default for Effects {
    fn default() -> Self {
        Self::new()
    }
}
