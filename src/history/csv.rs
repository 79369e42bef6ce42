//! History as a table for other programs (RFC 4180, with a line feed at the end of each line).

use super::point::Point;
use std::fmt::Write;

/// The names of the columns. Times are seconds since 1970, in UTC.
pub const HEADER: &str = "time,seconds,hashes_per_second,accepted,stale,unknown_job,repeated,too_easy,untimely,\
                          other_refused,miners,best_difficulty\n";

/// The lines of these points, without the header.
pub fn lines(points: &[(u64, Point)]) -> String {
    let mut text = String::new();
    for (time, point) in points {
        let Point { seconds, accepted, refused, miners, best_difficulty, .. } = point;
        let rate = point.hash_rate();
        let [a, b, c, d, e, f] = [
            refused.stale,
            refused.unknown_job,
            refused.repeated,
            refused.too_easy,
            refused.untimely,
            refused.other,
        ];
        writeln!(
            text,
            "{time},{seconds},{rate},{accepted},{a},{b},{c},{d},{e},{f},{miners},{best_difficulty}"
        )
        .expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::point::Refused;

    #[test]
    fn each_point_is_a_line_with_as_many_columns_as_the_header() {
        let refused = Refused { stale: 1, unknown_job: 2, repeated: 3, too_easy: 4, untimely: 5, other: 6 };
        let point =
            Point { seconds: 30, hashes: 45.0, accepted: 7, refused, miners: 8, best_difficulty: 0.5 };
        let text = lines(&[(1_700_000_010, point), (1_700_000_040, Point::default())]);
        assert_eq!(text, "1700000010,30,1.5,7,1,2,3,4,5,6,8,0.5\n1700000040,0,0,0,0,0,0,0,0,0,0,0\n");
        assert!(text.lines().all(|line| line.split(',').count() == HEADER.split(',').count()));
        assert_eq!(HEADER.lines().count(), 1);
    }
}
