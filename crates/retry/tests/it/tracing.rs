//! A retry that is made, and one that cannot be, are events.

use std::{
    cell::RefCell,
    fmt::{Debug, Write},
    sync::Once,
};

use tower::{Layer, ServiceExt};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::support::{BROKEN, REFUSED, Script, exactly, steady};

/// Writes each event as a line, for the thread it happens on.
///
/// One for the whole process: with a subscriber for each scope, a thread without one may be the first to meet an event, and
/// then tracing remembers that nobody wants it.
struct Log;

static INSTALLED: Once = Once::new();

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, "{}={value} ", field.name()).unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "steadfast::retry"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        LINES.with_borrow_mut(|lines| lines.push(line.0.trim_end().to_owned()));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn logged(calls: impl Future) -> Vec<String> {
    INSTALLED.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
    LINES.take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(calls);
    LINES.take()
}

#[test]
fn each_decision_about_a_retry_is_an_event() {
    let refused = || steady().named("users").budget(&exactly(0, 10)).build().layer(Script::new([REFUSED]));
    assert_eq!(
        logged(async { refused().oneshot(1).await }),
        [
            "message=retrying retry=users attempt=1 delay=1s",
            "message=retrying retry=users attempt=2 delay=1s",
            "message=not retrying retry=users attempt=3 outcome=attempts_exhausted",
        ]
    );
    assert_eq!(
        logged(async { steady().build().layer(Script::new([BROKEN])).oneshot(1).await }),
        ["message=not retrying retry=default attempt=1 outcome=not_repeatable"]
    );
    assert!(logged(async { steady().build().layer(Script::new([Ok(7)])).oneshot(1).await }).is_empty());
}

#[cfg(feature = "http")]
#[test]
fn a_body_that_cannot_be_repeated_says_why() {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use steadfast_retry::http::{HttpReplay, ReplayBody};

    let service = tower::service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async {
        request.into_body().collect().await.unwrap();
        Err::<http::Response<()>, _>(std::io::Error::from(std::io::ErrorKind::BrokenPipe))
    });
    let layer = steady().http().replay(HttpReplay::default().with_limit(1)).build();
    let put = Request::put("/").body(Full::new(Bytes::from_static(b"hello"))).unwrap();
    assert_eq!(
        logged(async { layer.layer(service).oneshot(put).await }),
        ["message=not retrying retry=default attempt=1 outcome=not_repeatable \
          why=the request body is larger than the replay limit"]
    );
}
