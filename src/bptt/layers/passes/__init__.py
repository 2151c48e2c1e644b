"""What a recurrent layer's passes take, keep and return, and what computes them."""
