//! `dirs`: bytes of snapshots and logs.

use crate::admin::view::ServerView;

pub(super) fn text(view: &ServerView) -> String {
    format!("datadir_size: {}\nlogdir_size: {}\n", view.data_dir_bytes, view.log_dir_bytes)
}
