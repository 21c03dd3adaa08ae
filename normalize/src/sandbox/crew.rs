//! Many workers, each with a child of its own, and the one thread that deals out units and acknowledges them.
//!
//! A delivery is acknowledged when it and every delivery before it in its partition are published and flushed; workers end
//! in any order. All queues are bounded: the dealer waits for the workers, the workers for the stream.

use super::child::Setup;
use super::supervisor::Supervisor;
use crate::{Context, Error, Watch};
use crossbeam_channel::{Receiver, Sender, bounded};
use model::wire::Batch;
use model::{Entry, Id, WorkUnit};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use stream::{Delivery, Event, Position, Publish, Receive};

/// Units that wait for each worker.
const WAITING: usize = 8;

/// Units of one exhibit whose entries share a message at most: more would only delay their acknowledgement.
const SHARED: usize = 64;

/// Acknowledgements that share a flush.
const FLUSHED: usize = 256;

/// How long the dealer listens for a unit while others are at work, and while none is.
const BUSY: Duration = Duration::from_millis(5);
const QUIET: Duration = Duration::from_millis(100);

/// Reads every unit that arrives, with `workers` children; returns when the stream is closed.
pub fn work(
    context: &Context,
    setup: &Setup,
    units: &mut dyn Receive<WorkUnit>,
    out: &dyn Publish,
    watch: &dyn Watch,
) -> Result<(), Error> {
    let workers = context.settings.worker_count().max(1);
    let (jobs, waiting) = bounded::<Work>(workers.saturating_mul(WAITING));
    // Every unit at work or waiting gives one answer, so the answers always fit.
    let (answers, done) = bounded(workers.saturating_mul(WAITING + SHARED + 2));
    std::thread::scope(|scope| {
        for number in 0..workers {
            let (waiting, answers) = (waiting.clone(), answers.clone());
            scope.spawn(move || {
                let outcome = Worker::new(context, setup, number, out).and_then(|worker| worker.work(&waiting, &answers));
                if let Err(error) = outcome {
                    // The dealer may have stopped on another error already.
                    answers.send(Err(error)).unwrap_or_else(|_| tracing::debug!("a worker's error came too late"));
                }
            });
        }
        drop((waiting, answers));
        Dealer { jobs: Some(jobs), done, out, watch, partitions: BTreeMap::new(), at_work: 0, unflushed: 0 }.deal(units)
    })
}

/// One unit on its way to a worker.
struct Work {
    position: Position,
    unit: WorkUnit,
}

/// Positions whose units are published.
type Answer = Result<Vec<Position>, Error>;

/// The one thread that holds the stream.
struct Dealer<'a> {
    /// `None` when no more will be dealt: the workers end.
    jobs: Option<Sender<Work>>,
    done: Receiver<Answer>,
    out: &'a dyn Publish,
    watch: &'a dyn Watch,
    partitions: BTreeMap<i32, Progress>,
    at_work: usize,
    unflushed: usize,
}

impl Dealer<'_> {
    fn deal(mut self, units: &mut dyn Receive<WorkUnit>) -> Result<(), Error> {
        loop {
            self.collect()?;
            if self.unflushed >= FLUSHED {
                self.acknowledge(units)?;
            }
            match units.next(if self.at_work == 0 { QUIET } else { BUSY })? {
                Event::Delivery(delivery) => self.hand_out(delivery)?,
                Event::Idle => self.acknowledge(units)?,
                Event::Assigned(partitions) => {
                    for partition in partitions {
                        self.partitions.remove(&partition);
                        // We keep no positions of our own: what the transport has committed for us counts.
                        units.start_at(partition, &[])?;
                    }
                }
                Event::Revoked(partitions) => {
                    self.finish(units)?;
                    partitions.iter().for_each(|partition| drop(self.partitions.remove(partition)));
                }
                Event::Closed => {
                    self.jobs = None;
                    return self.finish(units);
                }
            }
        }
    }

    fn hand_out(&mut self, delivery: Delivery<WorkUnit>) -> Result<(), Error> {
        let Delivery { position, exhibit, payload } = delivery;
        self.partitions.entry(position.partition).or_default().begin(position);
        match payload {
            Err(invalid) => {
                self.out.invalid(exhibit, position, &invalid)?;
                self.end(&[position]);
                Ok(())
            }
            Ok(unit) => {
                self.at_work += 1;
                let jobs = self.jobs.as_ref().ok_or(Error::Stopped)?;
                let sent = jobs.send(Work { position, unit });
                // No worker is left to take it: the first error says why.
                if sent.is_err() { self.collect().and(Err(Error::Stopped)) } else { Ok(()) }
            }
        }
    }

    fn end(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(progress) = self.partitions.get_mut(&position.partition) {
                progress.end(*position);
            }
        }
        self.unflushed += positions.len();
        self.watch.parsed(positions.len() as u64);
    }

    fn answered(&mut self, answer: Answer) -> Result<(), Error> {
        let positions = answer?;
        self.at_work = self.at_work.saturating_sub(positions.len());
        self.end(&positions);
        Ok(())
    }

    /// Takes the answers that are there.
    fn collect(&mut self) -> Result<(), Error> {
        while let Ok(answer) = self.done.try_recv() {
            self.answered(answer)?;
        }
        Ok(())
    }

    /// Waits for all that is at work, then acknowledges it.
    fn finish(&mut self, units: &mut dyn Receive<WorkUnit>) -> Result<(), Error> {
        while self.at_work > 0 {
            let answer = self.done.recv().map_err(|_| Error::Stopped)?;
            self.answered(answer)?;
        }
        self.acknowledge(units)
    }

    fn acknowledge(&mut self, units: &mut dyn Receive<WorkUnit>) -> Result<(), Error> {
        if self.unflushed == 0 {
            return Ok(());
        }
        self.out.flush()?;
        for progress in self.partitions.values_mut() {
            if let Some(position) = progress.safe() {
                units.acknowledge(position)?;
                stream::crash::point("normalize.acknowledged");
            }
        }
        self.unflushed = 0;
        Ok(())
    }
}

/// Deliveries of one partition, in the order of their arrival, and whether each is dealt with. Offsets may have gaps.
#[derive(Default)]
struct Progress {
    pending: VecDeque<(Position, bool)>,
}

impl Progress {
    fn begin(&mut self, position: Position) {
        self.pending.push_back((position, false));
    }

    fn end(&mut self, position: Position) {
        // Offsets grow within a partition, except after a new assignment, which begins a new `Progress`.
        let at = self.pending.partition_point(|(pending, _)| pending.offset < position.offset);
        if let Some((_, done)) = self.pending.get_mut(at).filter(|(pending, _)| *pending == position) {
            *done = true;
        }
    }

    /// The last position of the unbroken run of done ones, which is then forgotten.
    fn safe(&mut self) -> Option<Position> {
        let mut last = None;
        while let Some((position, true)) = self.pending.front() {
            last = Some(*position);
            self.pending.pop_front();
        }
        last
    }
}

/// One worker: a supervisor, and the entries that were not published yet.
struct Worker<'a> {
    supervisor: Supervisor<'a>,
    out: &'a dyn Publish,
    message_bytes: usize,
    exhibit: Id,
    batch: Batch,
    batch_bytes: usize,
    /// Units whose last entries are in the batch.
    held: Vec<Position>,
}

impl<'a> Worker<'a> {
    fn new(context: &'a Context, setup: &'a Setup, number: usize, out: &'a dyn Publish) -> Result<Worker<'a>, Error> {
        let supervisor = Supervisor::new(context, setup, number)?;
        let message_bytes = context.settings.kafka.message_bytes;
        let (exhibit, batch, held) = (Id::default(), Batch::default(), Vec::new());
        Ok(Worker { supervisor, out, message_bytes, exhibit, batch, batch_bytes: 0, held })
    }

    fn work(mut self, waiting: &Receiver<Work>, answers: &Sender<Answer>) -> Result<(), Error> {
        while let Some(Work { position, unit }) = self.next(waiting, answers)? {
            if unit.primary.item.exhibit != self.exhibit {
                self.publish(answers)?;
                self.exhibit = unit.primary.item.exhibit;
            }
            let Worker { supervisor, out, batch, batch_bytes, exhibit, message_bytes, .. } = &mut self;
            supervisor.read(&unit, |entry| gather(*out, *exhibit, *message_bytes, batch, batch_bytes, entry))?;
            self.held.push(position);
            if self.held.len() >= SHARED {
                self.publish(answers)?;
            }
        }
        Ok(())
    }

    /// The next unit; `None` when there will be no more. Nothing is held while waiting for one: another worker may have taken
    /// the last, and the dealer waits for ours.
    fn next(&mut self, waiting: &Receiver<Work>, answers: &Sender<Answer>) -> Result<Option<Work>, Error> {
        if let Ok(work) = waiting.try_recv() {
            return Ok(Some(work));
        }
        self.publish(answers)?;
        // The queue is closed when all is dealt.
        match waiting.recv() {
            Ok(work) => Ok(Some(work)),
            Err(_) => Ok(None),
        }
    }

    /// Publishes what is gathered, then tells the dealer which units that ends.
    fn publish(&mut self, answers: &Sender<Answer>) -> Result<(), Error> {
        send(self.out, self.exhibit, &mut self.batch, &mut self.batch_bytes)?;
        if self.held.is_empty() {
            return Ok(());
        }
        stream::crash::point("normalize.published");
        answers.send(Ok(std::mem::take(&mut self.held))).map_err(|_| Error::Stopped)
    }
}

/// Adds an entry to a batch, which is sent when it is full.
fn gather(
    out: &dyn Publish,
    exhibit: Id,
    message_bytes: usize,
    batch: &mut Batch,
    batch_bytes: &mut usize,
    entry: Entry,
) -> Result<(), Error> {
    *batch_bytes = batch_bytes.saturating_add(entry.body.len());
    batch.entries.push(entry);
    if *batch_bytes >= message_bytes { send(out, exhibit, batch, batch_bytes) } else { Ok(()) }
}

fn send(out: &dyn Publish, exhibit: Id, batch: &mut Batch, batch_bytes: &mut usize) -> Result<(), Error> {
    if batch.entries.is_empty() {
        return Ok(());
    }
    *batch_bytes = 0;
    Ok(out.batch(exhibit, std::mem::take(batch))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream::Topic;

    fn at(offset: i64) -> Position {
        Position { topic: Topic::Items, partition: 3, offset }
    }

    #[test]
    fn only_an_unbroken_run_is_safe() {
        let mut progress = Progress::default();
        [4, 5, 9, 10].map(at).into_iter().for_each(|position| progress.begin(position));
        progress.end(at(9));
        assert_eq!(progress.safe(), None);
        progress.end(at(4));
        assert_eq!(progress.safe(), Some(at(4)));
        progress.end(at(5));
        assert_eq!(progress.safe(), Some(at(9)), "the gap in offsets is no gap in deliveries");
        assert_eq!(progress.safe(), None);
        progress.end(at(10));
        assert_eq!(progress.safe(), Some(at(10)));
    }

    #[test]
    fn an_end_that_was_never_begun_changes_nothing() {
        let mut progress = Progress::default();
        progress.begin(at(1));
        progress.end(at(7));
        assert_eq!(progress.safe(), None);
    }
}
