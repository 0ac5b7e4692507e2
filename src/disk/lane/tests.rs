//! Requests on a disk that hangs, and on one that answers again.

use super::*;
use std::sync::mpsc;

/// Touches the disk, then waits until it is let go.
struct Stuck {
    lane: Arc<Lane>,
    gate: Mutex<mpsc::Receiver<()>>,
    answers: mpsc::Sender<&'static str>,
    answered: AtomicBool,
}

impl Job for Stuck {
    fn run(&self) -> Outcome {
        if self
            .lane
            .enter()
            .is_err_and(|e| e.kind() == Kind::WouldBlock)
        {
            return Outcome::Refused;
        }
        let _ = self.gate.lock().unwrap().recv();
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.answers.send("done").unwrap();
        }
        Outcome::Answered
    }

    fn expire(&self) {
        if !self.answered.swap(true, Ordering::Relaxed) {
            self.answers.send("expired").unwrap();
        }
    }
}

fn stuck(lane: &Arc<Lane>, answers: &mpsc::Sender<&'static str>) -> (Arc<Stuck>, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel();
    let (lane, answers) = (lane.clone(), answers.clone());
    (
        Arc::new(Stuck {
            lane,
            gate: Mutex::new(gate),
            answers,
            answered: AtomicBool::new(false),
        }),
        open,
    )
}

#[test]
fn a_hung_disk_expires_requests_and_recovers() {
    let workers = Workers::start(Duration::from_millis(100), 0).unwrap();
    let (answers, results) = mpsc::channel();
    let lane = Arc::new(Lane::new("hung".into()));
    let gates: Vec<_> = (0..LANE_THREADS)
        .map(|_| {
            let (job, gate) = stuck(&lane, &answers);
            workers.run(job); // no permit: returns at once
            gate
        })
        .collect();
    for _ in 0..LANE_THREADS {
        assert_eq!(
            results.recv_timeout(Duration::from_secs(5)).unwrap(),
            "expired"
        );
    }
    let (job, _gate) = stuck(&lane, &answers);
    workers.run(job);
    assert_eq!(
        results.recv_timeout(Duration::from_millis(50)).unwrap(),
        "expired",
        "refused at once"
    );
    drop(gates); // the disk answers again
    while lane.stuck.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    let (job, gate) = stuck(&lane, &answers);
    workers.run(job);
    gate.send(()).unwrap();
    assert_eq!(
        results.recv_timeout(Duration::from_secs(5)).unwrap(),
        "done"
    );
}

#[test]
fn after_one_has_waited_the_others_wait_a_moment() {
    let timeout = Duration::from_millis(1600);
    let workers = Workers::start(timeout, 0).unwrap();
    let (answers, results) = mpsc::channel();
    let lane = Arc::new(Lane::new("hung".into()));
    let mut gates = Vec::new();
    let mut waited = || {
        let (job, gate) = stuck(&lane, &answers);
        gates.push(gate);
        let start = Instant::now();
        workers.run(job);
        let answer = results.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(answer, "expired");
        start.elapsed()
    };
    assert!(waited() >= timeout);
    assert!(waited() < timeout);

    // One that is answered shows that the disk is there, however long others wait.
    let (job, gate) = stuck(&lane, &answers);
    gate.send(()).unwrap();
    workers.run(job);
    let answer = results.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(answer, "done");
    let (job, gate) = stuck(&lane, &answers);
    gates.push(gate);
    let start = Instant::now();
    workers.run(job);
    results.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(start.elapsed() >= timeout);
}

/// Has a turn while it waits to be let go.
struct Long {
    mailbox: u64,
    stuck: Arc<Stuck>,
}

impl Job for Long {
    fn run(&self) -> Outcome {
        match self.stuck.lane.turn(self.mailbox) {
            Err(e) if e.kind() == Kind::WouldBlock => Outcome::Refused,
            turn => {
                let outcome = self.stuck.run();
                drop(turn);
                outcome
            }
        }
    }

    fn expire(&self) {
        self.stuck.expire();
    }
}

#[test]
fn long_work_of_one_mailbox_leaves_threads_for_others_and_takes_turns() {
    let workers = Workers::start(Duration::from_secs(60), 0).unwrap();
    let (answers, results) = mpsc::channel();
    let lane = Arc::new(Lane::new("busy".into()));
    let long = |mailbox: u64| {
        let (stuck, gate) = stuck(&lane, &answers);
        workers.run(Arc::new(Long { mailbox, stuck }));
        gate
    };
    let done = || results.recv_timeout(Duration::from_secs(20));
    // Many more than there are threads, and then those of others.
    let gates: Vec<_> = (0..4 * LANE_THREADS).map(|_| long(1)).collect();
    for _ in 0..2 {
        let (job, gate) = stuck(&lane, &answers);
        gate.send(()).unwrap();
        workers.run(job);
        assert_eq!(done(), Ok("done"));
    }
    long(2).send(()).unwrap();
    assert_eq!(done(), Ok("done"));
    // Each that ends lets another go on.
    assert!(results.try_recv().is_err());
    let all = gates.len();
    drop(gates);
    for _ in 0..all {
        assert_eq!(done(), Ok("done"));
    }
    long(1).send(()).unwrap();
    assert_eq!(done(), Ok("done"));
}

#[test]
fn who_waits_too_long_for_the_turn_of_others_is_given_up_and_takes_none() {
    let workers = Workers::start(Duration::from_millis(200), 0).unwrap();
    let (answers, results) = mpsc::channel();
    let lane = Arc::new(Lane::new("busy".into()));
    let mut gates = Vec::new();
    for mailbox in 0..8 {
        let (stuck, gate) = stuck(&lane, &answers);
        workers.run(Arc::new(Long { mailbox, stuck }));
        gates.push(gate);
    }
    for _ in 0..8 {
        let answer = results.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(answer, "expired");
    }
    drop(gates);
    while lane.stuck.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    let (stuck, gate) = stuck(&lane, &answers);
    gate.send(()).unwrap();
    workers.run(Arc::new(Long { mailbox: 1, stuck }));
    let answer = results.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(answer, "done");
}

/// Has a turn and makes progress until it is let go.
struct Busy(Long);

impl Job for Busy {
    fn run(&self) -> Outcome {
        let lane = &self.0.stuck.lane;
        let (Ok(()), Ok(turn)) = (lane.enter(), lane.turn(self.0.mailbox)) else {
            return Outcome::Refused;
        };
        let gate = self.0.stuck.gate.lock().unwrap();
        while gate.recv_timeout(Duration::from_millis(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = lane.enter();
        }
        drop(turn);
        self.0.stuck.answers.send("done").unwrap();
        Outcome::Answered
    }

    fn expire(&self) {
        self.0.expire();
    }
}

#[test]
fn who_waits_for_work_of_its_own_mailbox_waits_as_long_as_that_goes_on() {
    let workers = Workers::start(Duration::from_millis(300), 0).unwrap();
    let (answers, results) = mpsc::channel();
    let lane = Arc::new(Lane::new("busy".into()));
    let gates: Vec<_> = (0..5)
        .map(|_| {
            let (stuck, gate) = stuck(&lane, &answers);
            workers.run(Arc::new(Busy(Long { mailbox: 1, stuck })));
            gate
        })
        .collect();
    assert!(results.recv_timeout(Duration::from_millis(1500)).is_err());
    for gate in gates {
        drop(gate);
        let answer = results.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(answer, "done");
    }
}

/// Uses one lane, and then another.
struct Both(Arc<Lane>, Arc<Stuck>);

impl Job for Both {
    fn run(&self) -> Outcome {
        match self.0.enter() {
            Err(e) if e.kind() == Kind::WouldBlock => Outcome::Refused,
            _ => self.1.run(),
        }
    }

    fn expire(&self) {
        self.1.expire();
    }
}

#[test]
fn a_request_that_expires_in_a_queue_leaves_no_lane_stuck() {
    let workers = Workers::start(Duration::from_millis(100), 1).unwrap();
    let (answers, results) = mpsc::channel();
    let (well, hung) = (
        Arc::new(Lane::new("well".into())),
        Arc::new(Lane::new("hung".into())),
    );
    let take_permits = |n| workers.permits.fetch_sub(n, Ordering::Relaxed);
    take_permits(1);
    let mut gates = Vec::new();
    for _ in 0..LANE_THREADS - 1 {
        let (job, gate) = stuck(&hung, &answers);
        workers.run(job);
        gates.push(gate);
    }
    for _ in 0..LANE_THREADS - 1 {
        assert_eq!(
            results.recv_timeout(Duration::from_secs(5)).unwrap(),
            "expired"
        );
    }
    // One thread is left for these: it takes the first, and the others expire behind it.
    take_permits(-8);
    for _ in 0..3 {
        let (job, gate) = stuck(&hung, &answers);
        workers.run(Arc::new(Both(well.clone(), job)));
        gates.push(gate);
    }
    for _ in 0..3 {
        assert_eq!(
            results.recv_timeout(Duration::from_secs(5)).unwrap(),
            "expired"
        );
    }
    assert_eq!(well.stuck.load(Ordering::Relaxed), 0, "nothing waits there");
    drop(gates);
    let end = Instant::now() + Duration::from_secs(5);
    while hung.stuck.load(Ordering::Relaxed) > 0 && Instant::now() < end {
        std::thread::yield_now();
    }
    assert_eq!(hung.stuck.load(Ordering::Relaxed), 0, "all are back");
}
