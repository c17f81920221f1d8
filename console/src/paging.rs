//! Pages of rows: one row more than a page is read, and says whether there is a next one.

/// How many rows to read for a page of so many.
pub(crate) fn one_more(page: usize) -> i64 {
    i64::try_from(page).map_or(i64::MAX, |rows| rows.saturating_add(1))
}

/// Cuts what was read to a page; whether there is a next one.
pub(crate) fn cut<R>(rows: &mut Vec<R>, page: usize) -> bool {
    let has_next = rows.len() > page;
    rows.truncate(page);
    has_next
}
