//! Jobs on several threads, their results in order.

use crate::Error;
use crossbeam_channel::bounded;

/// Results that a thread may be ahead of the consumer: bounds the memory of finished work.
const AHEAD: usize = 2;

/// Does every job, job n on thread n modulo `threads`, and hands the results to `consume` in the order of the jobs. `start` makes what a
/// thread works with. The first error ends all.
pub fn ordered<J: Sync, W, R: Send>(
    threads: usize,
    jobs: &[J],
    start: impl Fn() -> Result<W, Error> + Sync,
    work: impl Fn(&mut W, &J) -> Result<R, Error> + Sync,
    mut consume: impl FnMut(&J, R) -> Result<(), Error>,
) -> Result<(), Error> {
    let threads = threads.clamp(1, jobs.len().max(1));
    std::thread::scope(|scope| {
        let mut results = Vec::new();
        for thread in 0..threads {
            let (sender, receiver) = bounded(AHEAD);
            results.push(receiver);
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                // A send that fails means that the consumer has gone and wants no more.
                let mut worker = match start() {
                    Ok(worker) => worker,
                    Err(error) => return drop(sender.send(Err(error))),
                };
                for job in jobs.iter().skip(thread).step_by(threads) {
                    let result = work(&mut worker, job);
                    let last = result.is_err();
                    if sender.send(result).is_err() || last {
                        return;
                    }
                }
            });
        }
        for (job, receiver) in jobs.iter().zip(results.iter().cycle()) {
            let result = receiver.recv().map_err(|_| Error::Thread)??;
            consume(job, result)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).collect();
        for threads in [1, 2, 7] {
            let mut seen = Vec::new();
            let work = |_: &mut (), job: &u64| Ok(job * 2);
            ordered(
                threads,
                &jobs,
                || Ok(()),
                work,
                |_, result| {
                    seen.push(result);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(seen, jobs.iter().map(|job| job * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_all() {
        let jobs: Vec<u64> = (0..1000).collect();
        let work = |_: &mut (), job: &u64| if *job == 500 { Err(Error::Incomplete("500".into())) } else { Ok(()) };
        let mut seen = 0;
        let result = ordered(
            2,
            &jobs,
            || Ok(()),
            work,
            |_, ()| {
                seen += 1;
                Ok(())
            },
        );
        assert!(matches!(result, Err(Error::Incomplete(_))));
        assert_eq!(seen, 500);
        let result = ordered(2, &jobs, || Err::<(), _>(Error::Incomplete("start".into())), |_, _| Ok(()), |_, ()| Ok(()));
        assert!(matches!(result, Err(Error::Incomplete(_))));
    }
}
