//! What should be looked at, as `commonwork status` shows it: each with what to do about it, worst first.

use super::miners::plain;
use crate::api::form::{HealthForm, HealthItem, Level};

/// A line of how it is on the whole, then two for each item.
pub(super) fn text(form: &HealthForm) -> String {
    let whole = match (form.healthy, form.items.is_empty()) {
        (true, true) => "all is well",
        (true, false) => "nothing is wrong; worth knowing:",
        (false, _) => "something is wrong:",
    };
    let items = form.items.iter().map(|HealthItem { level, says, cure, .. }| {
        let level = match level {
            Level::Alarm => "ALARM",
            Level::Warning => "WARNING",
            Level::Notice => "notice",
        };
        format!("{level:<13}{}\n             -> {}\n", plain(says), plain(cure))
    });
    format!("health       {whole}\n{}", items.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_its_cure_under_it() {
        let item = |level, says: &str| HealthItem {
            level,
            id: "x".into(),
            says: says.into(),
            cure: "do this".into(),
        };
        let mut form = HealthForm { healthy: true, items: vec![] };
        assert_eq!(text(&form), "health       all is well\n");
        form.items.push(item(Level::Notice, "b"));
        assert_eq!(
            text(&form),
            "health       nothing is wrong; worth knowing:\nnotice       b\n             -> do this\n"
        );
        form = HealthForm {
            healthy: false,
            items: vec![item(Level::Alarm, "a\x1b"), item(Level::Warning, "w")],
        };
        let shown = text(&form);
        assert!(shown.starts_with("health       something is wrong:\nALARM        a?\n"), "{shown}");
        assert!(shown.contains("\nWARNING      w\n"), "{shown}");
    }
}
