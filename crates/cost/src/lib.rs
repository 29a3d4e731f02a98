//! What a network costs: parameters and multiply-accumulates of a graph at an input size.
