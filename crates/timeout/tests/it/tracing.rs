//! The one event there is.

use std::sync::{Arc, Mutex};

use tracing::{
    Event, Level, Metadata,
    field::{Field, Visit},
    span,
};

use crate::MS;

#[derive(Clone, Default)]
struct Collect(Arc<Mutex<Vec<String>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

impl tracing::Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "steadfast::timeout" && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_one_debug_event_and_a_success_is_none() {
    let events = Collect::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    let limit = crate::fixed(100 * MS);
    limit.run(tokio::time::sleep(MS)).await.unwrap();
    limit.run(std::future::pending::<()>()).await.unwrap_err();
    let events = events.0.lock().unwrap();
    assert_eq!(*events, ["DEBUG message=no answer within the limit timeout=\"default\" limit=100ms"]);
}
