package ridge

// solve replaces v by the solution of A x = v, by symmetric Gaussian elimination. a is A's lower triangle, row by row, and is destroyed;
// v has an even length; left and right are scratch of that length. It returns false where A is not positive definite.
//
// It takes two columns at a time. Rows are so short that most of the time goes into the ends of loops, of which there are half as many.
func solve(a, v, left, right []float64) bool {
	d := len(v)
	start := func(row int) int { return row * (row + 1) / 2 }
	for k := 0; k < d; k += 2 {
		upper, lower := a[start(k):][:k+1], a[start(k+1):][:k+2]
		f := lower[k] / upper[k]
		lower[k+1] -= f * lower[k]
		v[k+1] -= f * v[k]
		if !(upper[k] > 0 && lower[k+1] > 0) {
			return false
		}
		invUpper, invLower := 1/upper[k], 1/lower[k+1]
		for i := k + 2; i < d; i++ {
			row := a[start(i):][:i+1]
			x := row[k]
			y := row[k+1] - f*x
			row[k+1] = y
			left[i], right[i] = x, y
			g, h := x*invUpper, y*invLower
			rest := row[k+2:]
			l, r := left[k+2:][:len(rest)], right[k+2:][:len(rest)]
			for j := range rest {
				rest[j] -= g*l[j] + h*r[j]
			}
			v[i] -= g*v[k] + h*v[k+1]
		}
	}
	for k := d - 1; k >= 0; k-- {
		row := a[start(k):][:k+1]
		x := v[k] / row[k]
		v[k] = x
		for j, l := range row[:k] {
			v[j] -= l * x
		}
	}
	return true
}
