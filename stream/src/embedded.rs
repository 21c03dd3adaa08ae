//! The transport inside one process: bounded queues.
//!
//! Capacity is counted in messages; a batch is kept small by its writer, so the queue's memory is bounded too. There is no
//! replay: after a crash the sink says which items it holds in full, and ingest sends the others again.

use crate::{Delivery, Error, Event, Invalid, Position, Publish, Receive, Topic};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use model::wire::Batch;
use model::{Code, Entry, Id, Problem, Stage, WorkUnit, wire};
use std::time::Duration;

/// The writing end.
#[derive(Clone)]
pub struct Queues {
    units: Option<Sender<(Id, WorkUnit)>>,
    batches: Sender<(Id, Batch)>,
}

/// The reading end of one queue.
pub struct Queue<T> {
    receiver: Receiver<(Id, T)>,
    topic: Topic,
    next_offset: i64,
}

/// Makes the queues of one exhibit: `units` and `batches` messages long.
pub fn queues(units: usize, batches: usize) -> (Queues, Queue<WorkUnit>, Queue<Batch>) {
    let (unit_sender, unit_receiver) = bounded(units);
    let (batch_sender, batch_receiver) = bounded(batches);
    let unit_queue = Queue { receiver: unit_receiver, topic: Topic::Items, next_offset: 0 };
    let batch_queue = Queue { receiver: batch_receiver, topic: Topic::Records, next_offset: 0 };
    (Queues { units: Some(unit_sender), batches: batch_sender }, unit_queue, batch_queue)
}

impl Queues {
    /// The same writing end without the right to send units: normalize holds this one, so that its own unit queue ends when
    /// ingest is done.
    pub fn without_units(&self) -> Queues {
        Queues { units: None, batches: self.batches.clone() }
    }
}

impl Publish for Queues {
    fn unit(&self, unit: &WorkUnit) -> Result<(), Error> {
        let units = self.units.as_ref().ok_or(Error::Closed)?;
        units.send((unit.primary.item.exhibit, unit.clone())).map_err(|_| Error::Closed)
    }

    fn batch(&self, exhibit: Id, batch: Batch) -> Result<(), Error> {
        self.batches.send((exhibit, batch)).map_err(|_| Error::Closed)
    }

    fn invalid(&self, exhibit: Option<Id>, position: Position, invalid: &Invalid) -> Result<(), Error> {
        let exhibit = exhibit.unwrap_or_default();
        let problem = invalid_problem(exhibit, Stage::Normalize, position, invalid);
        self.batch(exhibit, Batch { entries: vec![Entry::new(&wire::Body::Problem(problem))] })
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl<T: Send> Receive<T> for Queue<T> {
    fn next(&mut self, timeout: Duration) -> Result<Event<T>, Error> {
        match self.receiver.recv_timeout(timeout) {
            Ok((exhibit, payload)) => {
                let position = Position { topic: self.topic, partition: 0, offset: self.next_offset };
                self.next_offset += 1;
                Ok(Event::Delivery(Delivery { position, exhibit: Some(exhibit), payload: Ok(payload) }))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Event::Idle),
            Err(RecvTimeoutError::Disconnected) => Ok(Event::Closed),
        }
    }

    fn start_at(&mut self, _partition: i32, _positions: &[Position]) -> Result<(), Error> {
        Ok(())
    }

    fn acknowledge(&mut self, _position: Position) -> Result<(), Error> {
        Ok(())
    }
}

/// The problem that stands for a message that could not be decoded: it names the hash of its raw bytes, its place and the reason.
pub fn invalid_problem(exhibit: Id, stage: Stage, position: Position, invalid: &Invalid) -> Problem {
    let Position { topic, partition, offset } = position;
    let detail = format!(
        "message at {} partition {partition} offset {offset}, {} bytes, sha256 {}: {}",
        topic.name(),
        invalid.size_bytes,
        invalid.sha256,
        invalid.reason
    );
    Problem { exhibit, item: None, stage, code: Code::InvalidMessage, detail }
}
