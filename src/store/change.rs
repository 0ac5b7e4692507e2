//! How a folder differs from how it was on another date, and making one listing of several.

use super::Messages;
use std::ops::Range;

/// How a folder's listing differs from another one, beside the messages that are only here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Positions there of the messages that are only there, in order.
    pub gone: Vec<u32>,
    /// Positions here of the messages that are only here, in order.
    pub came: Vec<u32>,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.came.is_empty()
    }

    /// Whether most of a listing with so many messages is the same.
    pub fn is_small(&self, messages: usize) -> bool {
        4 * (self.gone.len() + self.came.len()) <= messages
    }
}

/// What a store has found in a folder.
#[derive(Debug)]
pub enum Found {
    All(Messages),
    /// What differs from the listing that it was asked beside. `news`: the messages that are only here, and what holds for all.
    Changed {
        change: Change,
        news: Messages,
    },
}

impl Found {
    /// All messages; `None` if `before` is not what it was asked beside.
    pub fn all(self, before: &Messages) -> Option<Messages> {
        match self {
            Self::All(messages) => Some(messages),
            Self::Changed { change, news } => {
                let patchwork = Patchwork::whole(before.len()).changed(1, &change, news.len())?;
                Messages::assembled(&[before, &news], &patchwork)
            }
        }
    }

    /// All messages, or those that are only here; what holds for all of them is in either.
    pub fn told(&self) -> &Messages {
        match self {
            Self::All(messages) | Self::Changed { news: messages, .. } => messages,
        }
    }
}

/// Which rows of which listings make up another one, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patchwork(Vec<Patch>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    /// Which listing.
    of: usize,
    rows: Range<usize>,
}

impl Patchwork {
    /// A listing of so many rows, which is number 0.
    pub fn whole(rows: usize) -> Self {
        let mut whole = Self(Vec::new());
        whole.push(0, 0..rows);
        whole
    }

    /// The same after a change that brings `news` rows, which are those of listing number `of`; `None` if it is not a change
    /// of this.
    pub fn changed(&self, of: usize, change: &Change, news: usize) -> Option<Self> {
        let mut gone = change.gone.iter().map(|&at| at as usize).peekable();
        let mut came = change.came.iter().map(|&at| at as usize).peekable();
        let mut changed = Self(Vec::new());
        let mut there = self.0.iter().cloned();
        let mut patch = there.next();
        // How far it has come there, here, and in the news.
        let (mut from, mut to, mut fresh) = (0, 0, 0);
        loop {
            if came.next_if_eq(&to).is_some() {
                changed.push(of, fresh..fresh + 1);
                (to, fresh) = (to + 1, fresh + 1);
                continue;
            }
            let Some(Patch { of, rows }) = &mut patch else {
                break;
            };
            if rows.start == rows.end {
                patch = there.next();
                continue;
            }
            if gone.next_if_eq(&from).is_some() {
                (from, rows.start) = (from + 1, rows.start + 1);
                continue;
            }
            let mut len = rows.len();
            if let Some(&at) = gone.peek() {
                len = len.min(at.checked_sub(from)?);
            }
            if let Some(&at) = came.peek() {
                len = len.min(at.checked_sub(to)?);
            }
            let end = rows.start + len;
            changed.push(*of, rows.start..end);
            (from, to, rows.start) = (from + len, to + len, end);
        }
        let is_all = gone.next().is_none() && came.next().is_none() && fresh == news;
        is_all.then_some(changed)
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|patch| patch.rows.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs of rows: the number of the listing that they are of, and their positions there.
    pub fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.0.iter().map(|patch| (patch.of, patch.rows.clone()))
    }

    /// Of which listing the rows at these positions are, which are in order, and where there.
    pub fn pick<'p>(&'p self, positions: &'p [u32]) -> impl Iterator<Item = (usize, usize)> + 'p {
        let mut patches = self.0.iter();
        let mut patch = patches.next();
        let mut start = 0;
        positions.iter().map_while(move |&position| {
            loop {
                let Patch { of, rows } = patch?;
                let at = (position as usize).checked_sub(start)?;
                if at < rows.len() {
                    return Some((*of, rows.start + at));
                }
                start += rows.len();
                patch = patches.next();
            }
        })
    }

    fn push(&mut self, of: usize, rows: Range<usize>) {
        match self.0.last_mut() {
            _ if rows.is_empty() => {}
            Some(last) if last.of == of && last.rows.end == rows.start => last.rows.end = rows.end,
            _ => self.0.push(Patch { of, rows }),
        }
    }
}

/// A row of a listing that has a text among all texts of the listing.
pub trait Placed: Copy {
    /// Where its text begins, and how long it is.
    fn text(&self) -> (u32, u16);

    /// The same row with its text elsewhere.
    #[must_use]
    fn moved(self, start: u32) -> Self;
}

/// Rows whose texts come `start` bytes later.
pub fn behind<T: Placed>(rows: &[T], start: u32) -> Vec<T> {
    let moved = rows.iter().map(|row| row.moved(start + row.text().0));
    moved.collect()
}

/// The rows that a patchwork makes of several listings', and their texts. `listings`: rows, and the texts that they have.
pub fn assemble<T: Placed>(
    listings: &[(&[T], &[u8])],
    patchwork: &Patchwork,
) -> Option<(Vec<T>, Vec<u8>)> {
    let runs = patchwork.runs();
    let runs = runs.map(|(of, rows)| Some((of, listings.get(of)?.0.get(rows)?)));
    let runs = runs.collect::<Option<Vec<(usize, &[T])>>>()?;
    let all = runs.iter().flat_map(|(_, run)| run.iter());
    let used = all.map(|row| usize::from(row.text().1)).sum();
    let lengths: Vec<usize> = listings.iter().map(|(_, texts)| texts.len()).collect();
    let mut rows = Vec::with_capacity(patchwork.len());
    if let Some(starts) = side_by_side(&lengths, used) {
        for (of, run) in runs {
            let start = *starts.get(of)?;
            rows.extend(run.iter().map(|row| row.moved(start + row.text().0)));
        }
        let texts: Vec<&[u8]> = listings.iter().map(|(_, texts)| *texts).collect();
        return Some((rows, texts.concat()));
    }
    let mut texts = Vec::with_capacity(used);
    for (of, run) in runs {
        let (_, from) = listings.get(of)?;
        for row in run {
            let (start, len) = row.text();
            let end = start as usize + usize::from(len);
            rows.push(row.moved(u32::try_from(texts.len()).ok()?));
            texts.extend_from_slice(from.get(start as usize..end)?);
        }
    }
    Some((rows, texts))
}

/// Makes of rows in place what a patchwork of them, as listing 0, and of `news`, as listing 1, says: nothing but a
/// [change](Patchwork::changed) of them.
pub fn patch<T: Copy>(rows: &mut Vec<T>, patchwork: &Patchwork, news: &[T]) {
    let len = patchwork.len();
    if let Some(&one) = news.first() {
        rows.resize(rows.len().max(len), one);
    }
    let mut to = 0;
    let mut moved = Vec::new();
    for (of, from) in patchwork.runs() {
        let end = to + from.len();
        moved.push((of, from, to));
        to = end;
    }
    let olds = |moved: &&(usize, Range<usize>, usize)| moved.0 == 0;
    // What goes to the front has no other on its way but those that went before it, what goes to the end none but those
    // that went after it.
    for (_, from, to) in moved
        .iter()
        .filter(olds)
        .filter(|(_, from, to)| *to < from.start)
    {
        rows.copy_within(from.clone(), *to);
    }
    for (_, from, to) in moved
        .iter()
        .rev()
        .filter(olds)
        .filter(|(_, from, to)| *to > from.start)
    {
        rows.copy_within(from.clone(), *to);
    }
    for (_, from, to) in moved.iter().filter(|moved| moved.0 == 1) {
        if let (Some(place), Some(new)) =
            (rows.get_mut(*to..to + from.len()), news.get(from.clone()))
        {
            place.copy_from_slice(new);
        }
    }
    rows.truncate(len);
}

/// Texts of several listings in one: where those of each begin. They stay where they are, also those that no row has any
/// more, unless these are most of it: then `None`, and each text is to be copied alone.
///
/// `lengths`: of each listing's texts, together; `used`: how much of them is needed.
pub fn side_by_side(lengths: &[usize], used: usize) -> Option<Vec<u32>> {
    let mut starts = Vec::with_capacity(lengths.len());
    let mut end = 0u32;
    for &len in lengths {
        starts.push(end);
        end = end.checked_add(u32::try_from(len).ok()?)?;
    }
    (end as usize / 2 <= used).then_some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(patchwork: &Patchwork, listings: &[&str]) -> String {
        let runs = patchwork.runs().map(|(of, rows)| &listings[of][rows]);
        runs.collect()
    }

    fn change(gone: &[u32], came: &[u32]) -> Change {
        Change {
            gone: gone.to_vec(),
            came: came.to_vec(),
        }
    }

    #[test]
    fn one_change_after_the_other() {
        let listings = ["abcdef", "XY", "123"];
        let whole = Patchwork::whole(6);
        assert_eq!(letters(&whole, &listings), "abcdef");
        let first = whole.changed(1, &change(&[0, 3], &[0, 5]), 2).unwrap();
        assert_eq!(
            (letters(&first, &listings), first.len()),
            ("XbcefY".into(), 6)
        );
        let second = first.changed(2, &change(&[1, 2, 5], &[1, 2, 5]), 3);
        assert_eq!(letters(&second.unwrap(), &listings), "X12ef3");
        let picked: Vec<_> = first.pick(&[0, 2, 5]).collect();
        assert_eq!(picked, [(1, 0), (0, 2), (1, 1)]);
        let nothing = first
            .changed(2, &change(&[0, 1, 2, 3, 4, 5], &[]), 0)
            .unwrap();
        assert_eq!((nothing.len(), nothing.is_empty()), (0, true));
        let all = nothing.changed(2, &change(&[], &[0, 1, 2]), 3).unwrap();
        assert_eq!(letters(&all, &listings), "123");
    }

    #[test]
    fn rows_keep_their_texts_wherever_those_go() {
        #[derive(Clone, Copy)]
        struct Row(u32, u16);
        impl Placed for Row {
            fn text(&self) -> (u32, u16) {
                (self.0, self.1)
            }
            fn moved(self, start: u32) -> Self {
                Self(start, self.1)
            }
        }
        let old = [Row(0, 3), Row(3, 1), Row(4, 2)];
        let news = [Row(1, 2), Row(0, 1)];
        let (old, news) = ((&old[..], &b"oneA22"[..]), (&news[..], &b"xyz"[..]));
        for (gone, copied) in [(&[1][..], false), (&[0, 1, 2], true)] {
            let change = change(gone, &[0, 1]);
            let patchwork = Patchwork::whole(3).changed(1, &change, 2).unwrap();
            let (rows, all) = assemble(&[old, news], &patchwork).unwrap();
            let texts = rows
                .iter()
                .map(|row| &all[row.0 as usize..][..usize::from(row.1)]);
            let expected: &[&[u8]] = match copied {
                true => &[b"yz", b"x"],
                false => &[b"yz", b"x", b"one", b"22"],
            };
            assert_eq!(texts.collect::<Vec<_>>(), expected);
            assert_eq!(all.len(), if copied { 3 } else { 9 });
        }
    }

    #[test]
    fn in_place_it_is_the_same() {
        let old: Vec<u32> = (0..10).collect();
        let mut tried = 0;
        for gone in 0u32..1 << 10 {
            let gone: Vec<u32> = (0..10).filter(|at| gone >> at & 1 != 0).collect();
            for (came, news) in [
                (&[][..], &[][..]),
                (&[0], &[90]),
                (&[0, 1, 2, 5], &[90, 91, 92, 93]),
                (&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], &[90; 12]),
                (&[3, 4], &[90, 91]),
            ] {
                let change = change(&gone, came);
                let Some(patchwork) = Patchwork::whole(10).changed(1, &change, news.len()) else {
                    continue;
                };
                let runs = patchwork
                    .runs()
                    .flat_map(|(of, rows)| &[&old, news][of][rows]);
                let expected: Vec<u32> = runs.copied().collect();
                let mut rows = old.clone();
                patch(&mut rows, &patchwork, news);
                assert_eq!(rows, expected, "{change:?}");
                tried += 1;
            }
        }
        assert!(tried > 3000, "{tried}");
    }

    #[test]
    fn what_is_no_change_of_it_is_none() {
        let whole = Patchwork::whole(3);
        for (gone, came, news) in [
            (&[3][..], &[][..], 0),
            (&[1, 0], &[], 0),
            (&[1, 1], &[], 0),
            (&[], &[4], 1),
            (&[], &[1, 0], 2),
            (&[], &[0, 0], 2),
            (&[], &[0], 2),
            (&[], &[0, 1], 1),
            (&[0, 1, 2], &[1], 1),
        ] {
            assert_eq!(
                whole.changed(1, &change(gone, came), news),
                None,
                "{gone:?} {came:?}"
            );
        }
    }

    #[test]
    fn texts_side_by_side_as_long_as_most_are_needed() {
        assert_eq!(side_by_side(&[10, 2], 6), Some(vec![0, 10]));
        assert_eq!(side_by_side(&[10, 4], 6), None);
        assert_eq!(side_by_side(&[u32::MAX as usize, 1], usize::MAX), None);
        assert_eq!(side_by_side(&[0, 0], 0), Some(vec![0, 0]));
    }
}
