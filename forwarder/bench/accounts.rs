//! Whether anything was lost. When the clients have fallen silent and nothing moves any more, the device's books and the director's must
//! agree to the frame: what the one gave the other got, and the other way round, and nothing was dropped, or is left between two workers.

use super::Failure;
use super::measure::Setting;
use super::windows::{Record, Records};
use crate::demo::wait::{check_interrupted, wait_until};
use control::{Client, ClientError, show};
use std::path::Path;

/// Both sides' books.
#[derive(Debug, Default)]
pub struct Accounts {
    device: Vec<Records>,
    workers: Vec<show::Worker>,
    drops: Vec<show::DropReason>,
}

impl Accounts {
    /// The books when they agree; those of the last look if they never do.
    pub fn when_still(setting: &Setting, queues: usize) -> Result<Accounts, Failure> {
        let mut accounts = Accounts::default();
        let still = wait_until("nothing was under way any more", || {
            accounts = Accounts::now(&setting.folder, setting.records(queues))?;
            Ok(accounts.wrong().is_empty())
        });
        if still.is_err() {
            check_interrupted()?;
        }
        Ok(accounts)
    }

    fn now(run_dir: &Path, device: Vec<Records>) -> Result<Accounts, Failure> {
        let ask = |error: ClientError| Failure::new(error.to_string());
        let mut client = Client::connect(run_dir).map_err(ask)?;
        let workers = client.workers().map_err(ask)?.workers;
        let drops = Client::connect(run_dir).and_then(|mut client| client.drops()).map_err(ask)?.drops;
        Ok(Accounts { device, workers, drops })
    }

    /// Part of the frames that were handed from worker to worker.
    pub fn handed_over(&self) -> f64 {
        self.of_workers(|worker| worker.handed_out) as f64 / self.of_workers(|worker| worker.received) as f64
    }

    /// What should not be; nothing when every frame is where it belongs.
    pub fn wrong(&self) -> Vec<String> {
        let drops = self.drops.iter().filter(|drop| drop.total > 0);
        let mut wrong: Vec<String> =
            drops.map(|drop| format!("{} frames dropped: {}", drop.total, drop.meaning)).collect();
        for worker in &self.workers {
            if !worker.identity_holds() || worker.held > 0 {
                wrong.push(format!("worker {}: frames in and frames out differ: {worker:?}", worker.lcore));
            }
        }
        if !self.device.iter().all(Records::is_still) {
            wrong.push("frames still come and go".into());
        }
        let (received, sent) = (self.of_workers(|worker| worker.received), self.of_workers(|worker| worker.sent));
        let (rx, tx) = (self.of_queues(|last| last.rx), self.of_queues(|last| last.tx));
        if (rx, tx) != (received, sent) {
            wrong.push(format!(
                "the device gave {rx} frames and got {tx}; the director received {received} and sent {sent}"
            ));
        }
        let (out, taken) = (self.of_workers(|worker| worker.handed_out), self.of_workers(|worker| worker.handed_in));
        if out != taken {
            wrong.push(format!("{out} frames were handed to other workers, {taken} taken"));
        }
        let (unanswered, no_buffer) = (self.of_queues(|last| last.answers_lost), self.of_queues(|last| last.no_buffer));
        if unanswered > 0 || no_buffer > 0 {
            wrong.push(format!("the device lost {unanswered} answers and found no buffer {no_buffer} times"));
        }
        wrong
    }

    fn of_workers(&self, count: impl Fn(&show::Worker) -> u64) -> u64 {
        self.workers.iter().map(count).sum()
    }

    fn of_queues(&self, count: impl Fn(&Record) -> u64) -> u64 {
        self.device.iter().map(|records| count(&records.last())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that gave and got so many frames, and a worker that received and sent so many.
    fn accounts(device: (u64, u64), worker: (u64, u64)) -> Accounts {
        let line = |number| format!("{number} 0 0 0 {} {} 0 0 0 1 0 0\n", device.0, device.1);
        let worker = show::Worker { received: worker.0, sent: worker.1, ..Default::default() };
        Accounts { device: vec![Records::parse(&(line(0) + &line(1)))], workers: vec![worker], drops: Vec::new() }
    }

    #[test]
    fn one_frame_less_is_wrong() {
        assert_eq!(accounts((7, 7), (7, 7)).wrong(), Vec::<String>::new());
        for (device, worker) in [((8, 7), (7, 7)), ((7, 6), (7, 7)), ((7, 7), (7, 6)), ((7, 7), (8, 8))] {
            assert!(!accounts(device, worker).wrong().is_empty(), "{device:?} {worker:?}");
        }
        let mut moving = accounts((7, 7), (7, 7));
        moving.workers[0].handed_out = 1;
        assert_eq!(moving.wrong().len(), 2, "{:?}", moving.wrong());
    }
}
