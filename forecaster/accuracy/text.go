package accuracy

import "strconv"

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + " %" }
