//! What waits to be published: handed in by any number of requesters, taken in groups by whichever
//! channel is free.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::PublishError;

/// With whom a message may share its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// With anyone.
    Shared,
    /// With nobody: whatever happens to its group is its own doing.
    Alone,
}

/// One message that waits to be published and confirmed.
pub(super) struct Request {
    pub(super) company: Company,
    pub(super) queue: Arc<str>,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
    /// Closed when nobody waits for it any more.
    pub(super) done: oneshot::Sender<Result<(), PublishError>>,
}

/// How much shares one round of confirms.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupLimits {
    pub(super) messages: usize,
    /// Of bodies; a larger body goes alone.
    pub(super) bytes: usize,
}

/// The end that requesters hold.
#[derive(Clone)]
pub(super) struct Submissions(mpsc::Sender<Request>);

/// The end that the channels share.
pub(super) struct Requests(Mutex<Waiting>);

struct Waiting {
    submitted: mpsc::Receiver<Request>,
    /// Taken, and too large for the group before, or not for company.
    left_over: Option<Request>,
}

/// Both ends; beyond `capacity` waiting requests, requesters wait outside.
pub(super) fn requests(capacity: usize) -> (Submissions, Requests) {
    let (sender, submitted) = mpsc::channel(capacity);
    (Submissions(sender), Requests(Mutex::new(Waiting { submitted, left_over: None })))
}

impl Submissions {
    /// Hands a message in and waits until its group is settled. Dropped meanwhile, the message may
    /// still be published.
    pub(super) async fn submit(
        &self,
        company: Company,
        queue: &str,
        properties: BasicProperties,
        body: Bytes,
    ) -> Result<(), PublishError> {
        let (done, settled) = oneshot::channel();
        let request = Request { company, queue: queue.into(), properties, body, done };
        self.0.send(request).await.map_err(|_closed| PublishError::Stopped)?;
        settled.await.unwrap_or(Err(PublishError::Lost))
    }
}

impl Requests {
    /// Waits for a first request and takes what else has arrived and fits. Leaves `group` empty when
    /// all requesters are gone. Nothing is lost when it is dropped while it waits.
    pub(super) async fn take(&self, group: &mut Vec<Request>, limits: GroupLimits) {
        let mut waiting = self.0.lock().await;
        let Some(first) = waiting.first().await else { return };
        let (mut bytes, company) = (first.body.len(), first.company);
        group.push(first);
        while company == Company::Shared && group.len() < limits.messages {
            let Ok(request) = waiting.submitted.try_recv() else { return };
            bytes = bytes.saturating_add(request.body.len());
            if bytes > limits.bytes || request.company == Company::Alone {
                waiting.left_over = Some(request);
                return;
            }
            group.push(request);
        }
    }
}

impl Waiting {
    async fn first(&mut self) -> Option<Request> {
        match self.left_over.take() {
            Some(request) => Some(request),
            None => self.submitted.recv().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// In these tests, a body of seven bytes wants to be alone.
    fn company(size: usize) -> Company {
        if size == 7 { Company::Alone } else { Company::Shared }
    }

    /// Hands bodies of these sizes in and takes groups until nothing is left.
    fn groups(sizes: &[usize], limits: GroupLimits) -> Vec<Vec<usize>> {
        let (submissions, requests) = requests(sizes.len());
        for size in sizes {
            let submitting = submissions.submit(company(*size), "q", BasicProperties::default(), vec![0; *size].into());
            assert!(submitting.now_or_never().is_none(), "it waits for its confirm");
        }
        drop(submissions);
        let mut groups = Vec::new();
        loop {
            let mut group = Vec::new();
            requests.take(&mut group, limits).now_or_never().unwrap();
            if group.is_empty() {
                return groups;
            }
            groups.push(group.iter().map(|request| request.body.len()).collect());
        }
    }

    #[test]
    fn a_group_is_bounded_by_messages_and_bytes_and_a_larger_body_goes_alone() {
        let limits = GroupLimits { messages: 3, bytes: 10 };
        let taken = groups(&[1, 1, 1, 1, 9, 1, 50, 4, 6, 1], limits);
        assert_eq!(taken, [vec![1, 1, 1], vec![1, 9], vec![1], vec![50], vec![4, 6], vec![1]]);
    }

    #[test]
    fn what_wants_to_be_alone_shares_no_group_and_loses_no_neighbour() {
        let taken = groups(&[1, 7, 1, 2, 7, 7, 3], GroupLimits { messages: 3, bytes: 100 });
        assert_eq!(taken, [vec![1], vec![7], vec![1, 2], vec![7], vec![7], vec![3]]);
    }
}
