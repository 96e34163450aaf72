use super::multi_read::{end, header};
use crate::tree::{Applied, OpResult};
use crate::types::{ErrorCode, OpCode, Stat, SubTxn, TxnBody};
use quoll_jute::{Record, Writer};

/// Appends the body of the reply to a write that has been applied, and gives the error number for its header.
///
/// `body` is the txn, `applied` what the tree made of it. A reply with an error has no body; a multi that failed by
/// one of its operations has no error in the header and one for each operation in the body.
pub fn write_reply(body: &TxnBody, applied: &Applied, out: &mut Vec<u8>) -> i32 {
    match body {
        TxnBody::CreateSession { .. } | TxnBody::CloseSession { .. } => 0,
        TxnBody::One(SubTxn::Error { code }) => *code,
        TxnBody::One(txn) => match applied.results.first() {
            Some(OpResult::Err(code)) => *code,
            result => {
                write_one(txn, stat_of(result), out);
                0
            }
        },
        TxnBody::Multi(txns) => {
            if txns.iter().any(|t| matches!(t, SubTxn::Error { .. })) {
                write_failed_multi(txns, out);
            } else {
                for (i, txn) in txns.iter().enumerate() {
                    write_sub(txn, applied.results.get(i), out);
                }
            }
            end(out);
            0
        }
    }
}

fn stat_of(result: Option<&OpResult>) -> Option<&Stat> {
    match result {
        Some(OpResult::Ok(stat)) => stat.as_ref(),
        _ => None,
    }
}

fn write_one(txn: &SubTxn, stat: Option<&Stat>, out: &mut Vec<u8>) {
    let w = &mut Writer::new(out);
    match txn {
        SubTxn::Create { with_stat: false, path, .. } => w.text(Some(path)),
        SubTxn::Create { path, .. }
        | SubTxn::CreateTtl { path, .. }
        | SubTxn::CreateContainer { path, .. } => {
            w.text(Some(path));
            write_stat(stat, w);
        }
        SubTxn::Delete { .. } | SubTxn::Check { .. } | SubTxn::Error { .. } => {}
        SubTxn::SetData { .. } | SubTxn::SetAcl { .. } => write_stat(stat, w),
        SubTxn::Reconfig { data, .. } => {
            w.buffer(data.as_deref());
            write_stat(stat, w);
        }
    }
}

fn write_stat(stat: Option<&Stat>, w: &mut Writer<'_>) {
    match stat {
        Some(stat) => stat.write(w),
        None => Stat::default().write(w),
    }
}

fn write_sub(txn: &SubTxn, result: Option<&OpResult>, out: &mut Vec<u8>) {
    if let Some(OpResult::Err(code)) = result {
        return write_error(*code, out);
    }
    let kind = match txn.op() {
        // All creates with a stat are told as the same kind.
        OpCode::CreateTtl | OpCode::CreateContainer => OpCode::Create2,
        OpCode::DeleteContainer => OpCode::Delete,
        kind => kind,
    };
    header(kind.code(), 0, out);
    write_one(txn, stat_of(result), out);
}

/// The operations before the one that failed did not fail, and those after it were not tried.
fn write_failed_multi(txns: &[SubTxn], out: &mut Vec<u8>) {
    let mut failed = false;
    for txn in txns {
        match txn {
            SubTxn::Error { code } => {
                failed = true;
                write_error(*code, out);
            }
            _ if failed => write_error(ErrorCode::RuntimeInconsistency.code(), out),
            _ => write_error(0, out),
        }
    }
}

fn write_error(code: i32, out: &mut Vec<u8>) {
    header(OpCode::Error.code(), code, out);
    Writer::new(out).int(code);
}
