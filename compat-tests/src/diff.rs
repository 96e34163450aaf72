//! The readable difference of two transcripts.

/// Lines of agreement shown around each difference.
const CONTEXT: usize = 3;
/// Lines shown at most: what differs first is what matters.
const SHOWN_MAX: usize = 200;

/// `None` when the texts have equal lines; otherwise the lines that differ, those of `left` marked `-`, those
/// of `right` marked `+`, with a little of what lies around them and line numbers of `left`.
pub fn readable_difference(left: &str, right: &str) -> Option<String> {
    let left: Vec<&str> = left.lines().collect();
    let right: Vec<&str> = right.lines().collect();
    if left == right {
        return None;
    }
    let edits = edits(&left, &right);
    let mut shown = String::new();
    let mut last_shown = None;
    let mut lines = 0;
    for (index, edit) in edits.iter().enumerate() {
        let from = index.saturating_sub(CONTEXT);
        let to = (index + CONTEXT + 1).min(edits.len());
        if edits[from..to].iter().all(|edit| edit.mark == ' ') {
            continue;
        }
        lines += 1;
        if lines > SHOWN_MAX {
            shown.push_str("… and more\n");
            break;
        }
        if last_shown.is_none_or(|last| last + 1 != index) {
            shown.push_str(&format!("@ line {}\n", edit.left_line + 1));
        }
        shown.push_str(&format!("{} {}\n", edit.mark, edit.text));
        last_shown = Some(index);
    }
    Some(shown)
}

struct Edit<'a> {
    mark: char,
    text: &'a str,
    left_line: usize,
}

/// The shortest edit from `left` to `right` by longest common subsequence. Equal heads and tails are cut off
/// first; what remains is small in practice, so the quadratic table is fine.
fn edits<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<Edit<'a>> {
    let head = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let tail = left[head..].iter().rev().zip(right[head..].iter().rev()).take_while(|(l, r)| l == r).count();
    let (l, r) = (&left[head..left.len() - tail], &right[head..right.len() - tail]);

    let mut common = vec![vec![0u32; r.len() + 1]; l.len() + 1];
    for i in (0..l.len()).rev() {
        for j in (0..r.len()).rev() {
            common[i][j] =
                if l[i] == r[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }

    let mut edits = Vec::new();
    let keep = |from: usize, to: usize| (from..to).map(|n| Edit { mark: ' ', text: left[n], left_line: n });
    edits.extend(keep(0, head));
    let (mut i, mut j) = (0, 0);
    while i < l.len() || j < r.len() {
        let left_line = head + i;
        if i < l.len() && j < r.len() && l[i] == r[j] {
            edits.push(Edit { mark: ' ', text: l[i], left_line });
            (i, j) = (i + 1, j + 1);
        } else if j == r.len() || (i < l.len() && common[i + 1][j] >= common[i][j + 1]) {
            edits.push(Edit { mark: '-', text: l[i], left_line });
            i += 1;
        } else {
            edits.push(Edit { mark: '+', text: r[j], left_line });
            j += 1;
        }
    }
    edits.extend(keep(left.len() - tail, left.len()));
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_difference() {
        assert_eq!(readable_difference("a\nb\n", "a\nb"), None);
    }

    #[test]
    fn a_changed_a_missing_and_an_added_line_are_shown_with_what_is_around_them() {
        let left = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12";
        let right = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13";
        let expected =
            "@ line 2\n  2\n  3\n  4\n- 5\n+ five\n  6\n  7\n  8\n@ line 10\n  10\n  11\n  12\n+ 13\n";
        assert_eq!(readable_difference(left, right).unwrap(), expected);
    }

    #[test]
    fn an_empty_side_shows_every_line_of_the_other() {
        assert_eq!(readable_difference("", "a\nb").unwrap(), "@ line 1\n+ a\n+ b\n");
    }
}
