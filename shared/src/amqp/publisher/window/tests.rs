//! What a window has room for. How it settles is the model's matter.

use std::future::pending;

use lapin::BasicProperties;

use super::*;

/// A broker that never says anything.
pub(in crate::amqp::publisher) struct Silent {
    /// Whether that is slow at once, or never.
    pub(in crate::amqp::publisher) is_slow: bool,
}

impl ConfirmChannel for Silent {
    async fn publish(&self, _message: Outgoing) -> Result<Confirm, SessionError> {
        pending().await
    }

    async fn too_late(&self) {
        pending().await
    }

    async fn slow(&self) {
        if !self.is_slow {
            pending().await
        }
    }
}

const SILENT: Silent = Silent { is_slow: false };
const LIMITS: WindowLimits = WindowLimits { messages: 3, bytes: 10, batches: 2 };

fn window() -> Window<'static, Silent> {
    Window::new(&SILENT, LIMITS, InFlightGauges::default())
}

/// A request, and its requester's end. In these tests, a body of seven bytes wants to be alone.
fn request(size: usize) -> (Request, oneshot::Receiver<Result<(), PublishError>>) {
    let company = if size == 7 { Company::Alone } else { Company::Shared };
    let properties = Box::new(BasicProperties::default());
    let message = Outgoing { queue: "q".into(), properties, body: vec![0; size].into() };
    let (done, settled) = oneshot::channel();
    (Request { company, message, done }, settled)
}

/// How many of these go out together.
fn batch(sizes: &[usize]) -> usize {
    let (mut requests, _requesters): (VecDeque<_>, Vec<_>) = sizes.iter().map(|size| request(*size)).unzip();
    let mut window = window();
    let first = requests.pop_front().unwrap();
    window.publish(first, |room| requests.pop_front_if(|request| room.fits(request)));
    assert!(window.batches.len() <= 1);
    window.messages
}

#[test]
fn a_batch_is_bounded_by_messages_and_bytes_and_a_larger_body_goes_alone() {
    assert_eq!(batch(&[1, 1, 1, 1]), 3);
    assert_eq!(batch(&[1, 9, 1]), 2);
    assert_eq!(batch(&[4, 5, 6]), 2);
    assert_eq!(batch(&[50, 1]), 1);
    assert_eq!(batch(&[1, 50]), 1);
}

#[test]
fn what_wants_to_be_alone_goes_out_with_nobody() {
    assert_eq!(batch(&[7, 1]), 1);
    assert_eq!(batch(&[1, 7]), 1);
    assert_eq!(batch(&[7, 7]), 1);
}

#[test]
fn batches_share_what_the_window_has_room_for() {
    let mut window = window();
    let (requests, _requesters): (Vec<_>, Vec<_>) = [4, 4, 4].map(request).into_iter().unzip();
    for request in requests {
        if window.room().fits(&request) {
            window.publish(request, |_| None);
        }
    }
    assert_eq!((window.messages, window.bytes), (2, 8));
    assert!(!window.room().fits(&request(7).0), "it wants to be alone");
}

#[test]
fn one_batch_more_goes_out_when_it_is_allowed() {
    let mut window = window();
    let (requests, _requesters): (Vec<_>, Vec<_>) = [1, 1, 1].map(request).into_iter().unzip();
    let mut went_out = Vec::new();
    for request in requests {
        went_out.push(window.room().fits(&request));
        window.allow_one_more();
        assert!(window.room().fits(&request));
        window.publish(request, |_| None);
    }
    assert_eq!(went_out, [true, true, false]);
    assert!(window.is_crowded(), "it was allowed one");
}

#[test]
fn what_nobody_waits_for_is_not_published() {
    let mut window = window();
    let ((gone, requester), (here, _requester)) = (request(1), request(1));
    drop(requester);
    let mut next = Some(here);
    window.publish(gone, |_| next.take());
    assert_eq!(window.messages, 1);
}

#[test]
fn what_is_in_flight_is_told_until_its_channel_is_gone() {
    let gauges = InFlightGauges::default();
    let mut window = Window::new(&SILENT, LIMITS, gauges.clone());
    let told = || (gauges.messages.get(), gauges.bytes.get());
    let (requests, _requesters): (Vec<_>, Vec<_>) = [4, 5].map(request).into_iter().unzip();
    requests.into_iter().for_each(|request| window.publish(request, |_| None));
    assert_eq!(told(), (2, 9));
    drop(window);
    assert_eq!(told(), (0, 0));
}
