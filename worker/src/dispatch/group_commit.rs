//! Group commit: what is handed in while a group is being written is the next group, and is written together.
//!
//! There is no task behind it: one of those who wait writes for all of them, and the others hear from it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// Items that are written in groups, each with an answer of its own.
pub(crate) struct GroupCommit<T, A> {
    waiting: Mutex<Vec<(T, oneshot::Sender<A>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl<T, A> GroupCommit<T, A> {
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Has an item written and returns its answer. `write` may be called for the items of others, too, or not at all; it
    /// answers each, in their order. `None`: the group was not written, as far as is known.
    pub(crate) async fn commit(&self, item: T, write: impl AsyncFnOnce(&[T]) -> Option<Vec<A>>) -> Option<A> {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((item, answer));
        let turn = tokio::select! {
            biased;
            heard = &mut answered => return heard.ok(),
            turn = self.turn.lock() => turn,
        };
        // Nobody writes now, and whoever took this item has answered: it is still here, or its answer is.
        let group = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if !group.is_empty() {
            let (items, answers): (Vec<T>, Vec<_>) = group.into_iter().unzip();
            for (answer, written) in answers.into_iter().zip(write(&items).await?) {
                drop(answer.send(written)); // who went away meanwhile hears nothing
            }
        }
        drop(turn);
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// Hands so many items in at once; each write waits for a permit. Returns the answers and the groups.
    async fn commit_all(items: usize, fails: impl Fn(&[usize]) -> bool) -> (Vec<Option<String>>, Vec<Vec<usize>>) {
        let (commits, gate, groups) = (GroupCommit::new(), Semaphore::new(0), Mutex::new(Vec::new()));
        let write = async |group: &[usize]| {
            gate.acquire().await.unwrap().forget();
            groups.lock().unwrap().push(group.to_vec());
            (!fails(group)).then(|| group.iter().map(|item| format!("{item} is written")).collect())
        };
        let committing = join_all((0..items).map(|item| commits.commit(item, write)));
        let (answers, ()) = tokio::join!(committing, async {
            tokio::task::yield_now().await; // the first has begun, the others wait
            gate.add_permits(items);
        });
        (answers, groups.into_inner().unwrap())
    }

    #[tokio::test]
    async fn who_comes_while_a_group_is_written_is_in_the_next_one_and_each_hears_of_its_own() {
        let (answers, groups) = commit_all(5, |_| false).await;
        assert_eq!(groups, [vec![0], vec![1, 2, 3, 4]]);
        assert_eq!(answers, (0..5).map(|item| Some(format!("{item} is written"))).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_written_is_told_to_all_of_it_and_to_nobody_else() {
        let (answers, groups) = commit_all(4, |group| group.contains(&2)).await;
        assert_eq!(groups, [vec![0], vec![1, 2, 3]]);
        assert_eq!(answers, [Some("0 is written".to_owned()), None, None, None]);
    }
}
