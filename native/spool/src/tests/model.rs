//! A log is what its model says, whatever comes in which order, and whenever the run ends.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Append(bool, usize),
    /// Which of those that have not ended.
    End(prop::sample::Index),
    /// All but a few, so that holes are made for them.
    EndMost(usize),
    Flush,
    Read(usize),
    /// The next run, after the end of this one, or after its death right behind a flush.
    Restart {
        death: bool,
    },
    /// Dies at any time: its directory is copied while the writer works.
    Death,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (any::<bool>(), prop_oneof![0..50_usize, 0..20_000_usize])
            .prop_map(|(disk, size)| Step::Append(disk, size)),
        10 => any::<prop::sample::Index>().prop_map(Step::End),
        1 => (1..20_usize).prop_map(Step::EndMost),
        3 => Just(Step::Flush),
        3 => (1..20_usize).prop_map(Step::Read),
        1 => any::<bool>().prop_map(|death| Step::Restart { death }),
        1 => Just(Step::Death),
    ]
}

/// An entry that has not ended.
struct Open {
    number: usize,
    /// Its end: that of its line, or of the record that was read back.
    ticket: Tickets,
    to_be_read: bool,
    flushed: bool,
}

enum Tickets {
    Line(Arc<Line>),
    Record(Ticket),
    /// Only on disk.
    None,
}

struct Model {
    dir: TestDir,
    runs: usize,
    spool: Option<Spool>,
    log: Option<Log>,
    open: Vec<Open>,
    next: usize,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            dir: TestDir::new(),
            runs: 0,
            spool: None,
            log: None,
            open: Vec::new(),
            next: 0,
        };
        model.start();
        model
    }

    fn run_dir(&self) -> std::path::PathBuf {
        self.dir.path().join(self.runs.to_string())
    }

    fn start(&mut self) {
        fs::create_dir_all(self.run_dir()).unwrap();
        let spool = open_with(options(&self.run_dir()));
        self.log = Some(spool.log(b"log", || {}).unwrap());
        self.spool = Some(spool);
    }

    fn log(&self) -> &Log {
        self.log.as_ref().unwrap()
    }

    fn append(&mut self, disk: bool, size: usize) {
        let place = if disk { Place::Disk } else { Place::Memory };
        let text = format!("{} {}", self.next, "x".repeat(size));
        match append(self.log(), text, place) {
            Ok(line) => self.open.push(Open {
                number: self.next,
                ticket: if disk { Tickets::None } else { Tickets::Line(line) },
                to_be_read: disk,
                flushed: false,
            }),
            Err(refused) => assert_eq!(refused, Refused::Full),
        }
        self.next += 1;
    }

    fn end(&mut self, which: prop::sample::Index) {
        if self.open.is_empty() {
            return;
        }
        let at = which.index(self.open.len());
        match &self.open[at].ticket {
            Tickets::Line(line) => self.log().end(&line.ticket),
            Tickets::Record(ticket) => self.log().end(ticket),
            Tickets::None => return,
        }
        self.open.remove(at);
    }

    /// All but one in so many.
    fn end_most(&mut self, few: usize) {
        let log = self.log.take().unwrap();
        let mut number = 0;
        self.open.retain(|open| {
            number += 1;
            match &open.ticket {
                _ if number % few == 0 => return true,
                Tickets::Line(line) => log.end(&line.ticket),
                Tickets::Record(ticket) => log.end(ticket),
                Tickets::None => return true,
            }
            false
        });
        self.log = Some(log);
        // One segment at a time.
        (0..4).for_each(|_| self.flush());
    }

    fn flush(&mut self) {
        assert!(self.log().flush(PATIENCE));
        self.open.iter_mut().for_each(|open| open.flushed = true);
    }

    fn read(&mut self, count: usize) {
        self.flush();
        let mut given = Vec::new();
        let mut more = true;
        while given.len() < count && more {
            let left = count - given.len();
            more = self.log().read(left, usize::MAX, |s| given.push((number(&s), s.ticket))).more;
        }
        let mut expected = self.open.iter_mut().filter(|open| open.to_be_read);
        for (number, ticket) in given.drain(..) {
            let open = expected.next().expect("nothing more is to be read");
            assert_eq!(open.number, number);
            open.to_be_read = false;
            open.ticket = Tickets::Record(ticket);
        }
        assert!(more || expected.next().is_none());
        let left = self.open.iter().filter(|open| open.to_be_read).count();
        assert_eq!(self.log().unread(), left as u64);
    }

    /// The next run finds all that has not ended.
    fn restart(&mut self, death: bool) {
        if death {
            self.flush();
            copy_dir(&self.run_dir(), &self.dir.path().join((self.runs + 1).to_string()));
            self.runs += 1;
        }
        (self.log, self.spool) = (None, None);
        self.start();
        self.reread();
        self.check();
    }

    /// The next run finds all that was written and has not ended; perhaps more, as some that ended
    /// may be found once more, and some that nobody waited for.
    fn die(&mut self) {
        copy_dir(&self.run_dir(), &self.dir.path().join((self.runs + 1).to_string()));
        self.runs += 1;
        (self.log, self.spool) = (None, None);
        self.start();
        let found = read(self.log());
        let numbers: Vec<usize> = found.iter().map(|(text, _)| leading_number(text)).collect();
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
        assert!(numbers.iter().all(|number| *number < self.next));
        for open in self.open.iter().filter(|open| open.flushed) {
            assert!(numbers.contains(&open.number), "{} of {numbers:?}", open.number);
        }
        self.open = found
            .into_iter()
            .zip(numbers)
            .map(|((_, ticket), number)| Open {
                number,
                ticket: Tickets::Record(ticket),
                to_be_read: false,
                flushed: true,
            })
            .collect();
        self.check();
    }

    fn reread(&mut self) {
        for open in &mut self.open {
            (open.to_be_read, open.flushed, open.ticket) = (true, true, Tickets::None);
        }
    }

    fn check(&self) {
        let stats = self.log().stats();
        assert_eq!(stats.records, self.open.len() as u64);
        assert_eq!((stats.unreadable, self.log().troubles()), (Default::default(), vec![]));
        assert_eq!(stats.bytes, self.spool.as_ref().unwrap().bytes());
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append(disk, size) => self.append(disk, size),
            Step::End(which) => self.end(which),
            Step::EndMost(few) => self.end_most(few),
            Step::Flush => {
                self.flush();
                self.check();
            }
            Step::Read(count) => self.read(count),
            Step::Restart { death } => self.restart(death),
            Step::Death => self.die(),
        }
    }
}

fn number(stored: &Stored<'_>) -> usize {
    leading_number(&text(stored))
}

fn leading_number(text: &str) -> usize {
    text.split_once(' ').unwrap().0.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_log_is_as_its_model(steps in prop::collection::vec(step(), 0..200)) {
        let mut model = Model::new();
        steps.into_iter().for_each(|step| model.step(step));
        model.restart(false);
        model.read(usize::MAX);
    }
}
