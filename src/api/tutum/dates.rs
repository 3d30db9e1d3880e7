//! Points in time as this API writes them (spec §1.13).

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::model::Timestamp;

const FORM: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day padding:none] [month repr:short] [year] [hour]:[minute]:[second] +0000"
);

/// `Sun, 6 Apr 2014 23:58:15 +0000`
pub(super) fn date(moment: Timestamp) -> String {
    let moment = OffsetDateTime::from_unix_timestamp(moment.millis().div_euclid(1000));
    moment.ok().and_then(|moment| moment.format(FORM).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_original_wrote_them() {
        let check = |millis: i64, expect: &str| assert_eq!(date(Timestamp::from_millis(millis)), expect);
        check(1_395_705_495_999, "Mon, 24 Mar 2014 23:58:15 +0000");
        check(1_396_742_400_000, "Sun, 6 Apr 2014 00:00:00 +0000");
    }
}
