//! Lines of JSON on their way to a file: a thread of their own, a bounded queue, and a flush every second.

use std::io::{BufWriter, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::record::{Exchange, Recorder};

/// How many requests may wait to be written; more have to wait for the writer.
const WAITING: usize = 1024;
/// How long a line may stay in memory.
const FLUSH: Duration = Duration::from_secs(1);

/// How long the end of a record waits for the next request to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// A record that is being written. It ends, flushed, when this is dropped.
#[derive(Debug)]
pub struct Recording {
    recorder: Weak<Recorder>,
    /// Tells of each request that is written, and closes after the last.
    written: Receiver<()>,
}

impl Recording {
    /// Ends the record and waits until all of it is written, unless nothing is taken any more where it goes.
    pub fn finish(self) {}
}

impl Drop for Recording {
    fn drop(&mut self) {
        if let Some(recorder) = self.recorder.upgrade() {
            recorder.set_sink(None);
        }
        loop {
            match self.written.recv_timeout(FAREWELL) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    tracing::error!("nobody takes the rest of the record of requests; it is lost");
                    break;
                }
            }
        }
    }
}

impl Recorder {
    pub(crate) fn record_to(self: &Arc<Self>, sink: Box<dyn Write + Send>) -> std::io::Result<Recording> {
        let (sender, receiver) = sync_channel(WAITING);
        let (told, written) = sync_channel(1);
        std::thread::Builder::new().name("record".to_owned()).spawn(move || write_all(sink, &receiver, &told))?;
        self.set_sink(Some(sender));
        Ok(Recording { recorder: Arc::downgrade(self), written })
    }
}

fn write_all(sink: Box<dyn Write + Send>, receiver: &Receiver<Arc<Exchange>>, told: &SyncSender<()>) {
    let mut sink = BufWriter::with_capacity(256 << 10, sink);
    let mut dirty_since: Option<Instant> = None;
    let mut failed = false;
    loop {
        let wait = dirty_since.map_or(FLUSH, |since| FLUSH.saturating_sub(since.elapsed()));
        let received = receiver.recv_timeout(wait);
        let mut done = Ok(());
        if let (Ok(exchange), false) = (&received, failed) {
            done = write_one(&mut sink, exchange);
            dirty_since.get_or_insert_with(Instant::now);
        }
        // Only the end of the record listens; one word in the channel is as good as many.
        let _ = told.try_send(());
        let ended = matches!(received, Err(RecvTimeoutError::Disconnected));
        let due = dirty_since.is_some_and(|since| since.elapsed() >= FLUSH);
        if !failed && (due || ended) {
            done = done.and_then(|()| sink.flush());
            dirty_since = None;
        }
        if let Err(error) = done {
            // The record ends here, so that it has no holes; what is sent from here on is thrown away.
            failed = true;
            dirty_since = None;
            tracing::error!(%error, "cannot write the record of requests; it ends here, the simulator goes on");
        }
        if ended {
            break;
        }
    }
    if failed {
        // What is buffered cannot be written; to try again on drop would only fail again.
        let _ = sink.into_parts();
    }
}

fn write_one(sink: &mut impl Write, exchange: &Exchange) -> std::io::Result<()> {
    serde_json::to_writer(&mut *sink, &exchange.recorded())?;
    sink.write_all(b"\n")
}
