//! `ruok`: the process lives and answers. It says nothing about whether clients are served.

pub(super) fn text() -> &'static str {
    "imok"
}
