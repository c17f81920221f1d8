//! The batcher: whatever has arrived is the next batch, cut by count and bytes.
//!
//! There is no timer: the next batch fills while this one commits, and an idle lane waits for
//! nothing.

/// Cuts what has arrived, in order, into parts of at most `limit` bytes; what is larger is a part
/// alone.
pub(crate) fn cut_by_bytes<D>(arrived: Vec<D>, limit: usize, size: impl Fn(&D) -> usize) -> Vec<Vec<D>> {
    let mut parts: Vec<Vec<D>> = Vec::new();
    let mut bytes = 0;
    for delivery in arrived {
        let size = size(&delivery);
        match parts.last_mut() {
            Some(part) if bytes + size <= limit => {
                bytes += size;
                part.push(delivery);
            }
            _ => {
                bytes = size;
                parts.push(vec![delivery]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_in_order_and_a_large_body_goes_alone() {
        let cut = cut_by_bytes(vec![3, 3, 4, 1, 50, 9, 1, 1], 10, |size| *size);
        assert_eq!(cut, [vec![3, 3, 4], vec![1], vec![50], vec![9, 1], vec![1]]);
    }
}
