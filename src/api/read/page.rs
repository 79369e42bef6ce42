//! A page of what is told newest first.

use sharechain::units::BitcoinHeight;

/// A part of a list that is sorted by height, highest first. It ends between heights, since it goes on by height: where
/// several items have one height there may be more of them than were asked for.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Where to go on; none at the end.
    pub(super) next_before: Option<u32>,
}

impl<T> Page<T> {
    pub(super) fn of(
        all: impl Iterator<Item = T>,
        height: impl Fn(&T) -> BitcoinHeight,
        before: Option<u32>,
        count: u32,
    ) -> Self {
        let mut rest =
            all.skip_while(|item| before.is_some_and(|before| height(item).0 >= before)).peekable();
        let mut items: Vec<T> = rest.by_ref().take(count as usize).collect();
        let Some(end) = items.last().map(&height) else { return Self { items, next_before: None } };
        while let Some(item) = rest.next_if(|item| height(item) == end) {
            items.push(item);
        }
        Self { items, next_before: rest.peek().map(|_| end.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_between_heights_and_says_where_to_go_on() {
        let all = [9, 8, 8, 8, 7, 5];
        let page = |before, count| {
            let page = Page::of(all.into_iter(), |height| BitcoinHeight(*height), before, count);
            (page.items, page.next_before)
        };
        assert_eq!(page(None, 1), (vec![9], Some(9)));
        assert_eq!(page(Some(9), 1), (vec![8, 8, 8], Some(8)));
        assert_eq!(page(None, 5), (vec![9, 8, 8, 8, 7], Some(7)));
        assert_eq!(page(Some(7), 9), (vec![5], None));
        assert_eq!(page(None, 6).1, None);
        assert_eq!(page(Some(5), 2), (vec![], None));
    }
}
