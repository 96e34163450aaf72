/// What the quotas below one first path component add up to: znodes and bytes, −1 for each that is not limited.
///
/// Upstream counterpart: `QuotaMetricsUtils`, which adds up the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaSums {
    /// Of the limits, hard ones before soft ones, where there are any.
    pub limits: Option<(i64, i64)>,
    /// Of the usage, where it is kept.
    pub usage: Option<(i64, i64)>,
}
