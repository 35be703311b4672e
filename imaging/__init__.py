"""What we can see: pixels out of any transfer syntax, and display values out of pixels."""
